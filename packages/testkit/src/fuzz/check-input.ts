import type { BufferMeter } from './meter.js'
import { outputSize } from './output-size.js'
import { DEFAULT_LIMITS, type Finding, type FindingKind, type FuzzLimits, type FuzzTarget } from './target.js'

/** What takes less wall time than this, in milliseconds, isn't measured further. */
const QUICK_MS = 50
/** Memory of the process that one input may add, in KiB: far beyond what is in its result. */
const MAX_GROWTH_KIB = 256 * 1024
/** Errors of the engine, also those of classes that decoders declare: what was asked for doesn't fit. */
const EXHAUSTION =
  /call stack|Invalid (?:typed )?array length|Invalid string length|allocation failed|Map maximum size|Set maximum size|out of memory/i
const EXHAUSTION_CODES: ReadonlySet<unknown> = new Set(['ERR_STRING_TOO_LONG', 'ERR_BUFFER_TOO_LARGE'])

/** Decodes one input and judges what happened. `undefined`: it kept its promises. */
export async function checkInput(target: FuzzTarget, input: Buffer, meter: BufferMeter): Promise<Finding | undefined> {
  const limits: FuzzLimits = { ...DEFAULT_LIMITS, ...target.limits }
  // A copy of its own: a decoder that changes its input is no reason for another finding.
  const bytes = Buffer.from(new Uint8Array(input).buffer)
  const memory = process.resourceUsage().maxRSS
  const began = performance.now()
  meter.bytes = 0
  let result: unknown
  try {
    result = target.decode(bytes)
    if (result instanceof Promise) result = await result
  } catch (error) {
    if (isExhaustion(error) || !target.declares(error)) return findingOf('error', error)
  }
  const allocated = meter.bytes
  const elapsed = performance.now() - began
  const allowed = limits.baseBytes + limits.allocatedFactor * input.length
  if (allocated > allowed) return finding('allocation', `${allocated} bytes of buffers for ${input.length} bytes`)
  if (elapsed > QUICK_MS) {
    const growth = process.resourceUsage().maxRSS - memory
    if (growth > MAX_GROWTH_KIB) return finding('memory', `${growth} KiB for ${input.length} bytes`)
    const cpuMs = await leastCpuMs(target, bytes, limits.cpuMs, elapsed)
    if (cpuMs > limits.cpuMs) return finding('work', `${Math.round(cpuMs)} ms of CPU for ${input.length} bytes`)
  }
  const mostOutput = limits.baseBytes + limits.outputFactor * input.length
  const size = outputSize(result, bytes, mostOutput)
  return size > mostOutput
    ? finding('output', `a result of ${size} bytes or more for ${input.length} bytes`)
    : undefined
}

/** The least of three times, since other processes and the garbage collector take some of each. */
async function leastCpuMs(target: FuzzTarget, bytes: Buffer, limitMs: number, elapsedMs: number): Promise<number> {
  let least = elapsedMs
  for (let attempt = 0; attempt < 3 && least > limitMs; attempt += 1) {
    const before = process.cpuUsage()
    try {
      await target.decode(bytes)
    } catch {
      // Judged before.
    }
    const { user, system } = process.cpuUsage(before)
    least = Math.min(least, (user + system) / 1_000)
  }
  return least
}

function isExhaustion(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return EXHAUSTION.test(error.message) || EXHAUSTION_CODES.has((error as NodeJS.ErrnoException).code)
}

function finding(kind: FindingKind, detail: string): Finding {
  return { kind, detail, signature: kind }
}

/** A finding by its error: the same one where class, message without its numbers, and the place are the same. */
export function findingOf(kind: FindingKind, error: unknown): Finding {
  if (!(error instanceof Error))
    return { kind, detail: `threw ${typeof error}`, signature: `${kind} ${typeof error}`, error }
  const place = /\n\s+at ([^\n(]*\(?[^\n]*?)(?:\?[^\n:]*)?:\d+:\d+/.exec(error.stack ?? '')?.[1] ?? ''
  const message = `${error.name}: ${error.message.slice(0, 200)}`
  return { kind, detail: message, signature: `${kind} ${message.replaceAll(/\d+/g, '0').slice(0, 80)} ${place}`, error }
}
