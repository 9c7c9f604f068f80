import type { Arbitrary } from 'fast-check'

/** A decoder of bytes that another process wrote, and what it promises for any bytes. */
export interface FuzzTarget {
  /** Unique within its package; also the name of its folder in the corpus. */
  readonly name: string
  /** Decodes as the product does, up to what a handler reads. Throws or rejects with {@link Violation} where its result breaks a promise. */
  decode(bytes: Buffer): unknown
  /** Whether the decoder documents an error. All others are findings; a stack overflow or a failed allocation always is one. */
  declares(error: unknown): boolean
  /** Texts and bytes that mean something in this format. */
  readonly dictionary?: readonly (string | Buffer)[]
  /** Inputs by the format's grammar, valid or nearly so. */
  readonly inputs?: Arbitrary<Uint8Array>
  /** Corrects checksums and outer lengths after a mutation, without which most inputs would be refused at the door. Used for every second input. */
  readonly repair?: (bytes: Buffer) => Buffer
  readonly limits?: Partial<FuzzLimits>
}

/** What decoding one input may take. The bounds are loose: they find what grows without bound, not what is slow. */
export interface FuzzLimits {
  /** Maximum size of an input in bytes. @default 65536 */
  readonly maxInputBytes: number
  /** Bytes that an input may take regardless of its size, in the result and in buffers. @default 4194304 */
  readonly baseBytes: number
  /** Bytes of the result per byte of the input. @default 200 */
  readonly outputFactor: number
  /** Bytes of buffers allocated while decoding, per byte of the input. @default 200 */
  readonly allocatedFactor: number
  /** CPU time of the process in milliseconds, at least ten times what the slowest valid input takes. @default 1000 */
  readonly cpuMs: number
}

export const DEFAULT_LIMITS: FuzzLimits = {
  maxInputBytes: 65_536,
  baseBytes: 4 * 1024 * 1024,
  outputFactor: 200,
  allocatedFactor: 200,
  cpuMs: 1_000,
}

/** A result that breaks a promise of the decoder. */
export class Violation extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Violation'
  }
}

/** `error`: undeclared, or a broken promise. `output`, `allocation`, `memory`, `work`: beyond a limit. `rejection`: a promise that nobody awaited rejected. */
export type FindingKind = 'error' | 'output' | 'allocation' | 'memory' | 'work' | 'rejection'

export interface Finding {
  readonly kind: FindingKind
  /** What happened, in one line. */
  readonly detail: string
  /** Equal for inputs that show the same defect, as far as that can be seen. */
  readonly signature: string
  readonly error?: unknown
}
