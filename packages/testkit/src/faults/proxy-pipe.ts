import type { Socket } from 'node:net'
import { setTimeout as duration } from 'node:timers/promises'

/** Towards the server, or back to the client. */
export type Direction = 'to-server' | 'to-client'

/** What a pipe asks of its connection before each piece, and tells it afterwards. */
export interface PipeRules {
  readonly delayMs: number
  /** `undefined`: as fast as it goes. */
  readonly bytesPerSecond: number | undefined
  /** Pending while nothing may pass in this direction. */
  silence(direction: Direction): Promise<void> | undefined
  /** What passes at all of what has come. */
  sift(direction: Direction, bytes: Buffer): Buffer
  /** How many bytes of a piece may still pass before the connection is to be reset. */
  passing(direction: Direction, bytes: number): number
  /** So many bytes have passed. Returns whether the connection is to be reset now. */
  passed(direction: Direction, bytes: number): boolean
  reset(): void
}

type Item = { readonly dueAt: number } & ({ readonly bytes: Buffer } | { readonly end: 'finished' | 'broken' })

const MAX_HELD_BYTES = 256 * 1024
/** Pieces of a slow link per second. */
const PIECES_PER_SECOND = 20

/** Carries the bytes of one direction of one connection, and how it ends, in order, under the rules of the moment. */
export class ProxyPipe {
  readonly direction: Direction
  readonly #source: Socket
  readonly #sink: Socket
  readonly #rules: PipeRules
  readonly #items: Item[] = []
  #held = 0
  #wake: (() => void) | undefined
  #over = false

  constructor(direction: Direction, source: Socket, sink: Socket, rules: PipeRules) {
    this.direction = direction
    this.#source = source
    this.#sink = sink
    this.#rules = rules
    source.on('data', (all: Buffer) => {
      const bytes = rules.sift(direction, all)
      if (bytes.length === 0) return
      this.#held += bytes.length
      if (this.#held > MAX_HELD_BYTES) source.pause()
      this.#add({ bytes, dueAt: this.#due() })
    })
    source.once('end', () => this.#add({ end: 'finished', dueAt: this.#due() }))
    // An error says why, the close that follows says that: a connection that ended well has ended before.
    source.on('error', () => {})
    source.once('close', (hadError) => {
      if (hadError) this.#add({ end: 'broken', dueAt: this.#due() })
    })
    void this.#carry()
  }

  /** Sends the end of this direction although its source goes on: a half-close. */
  finish(): void {
    this.#over = true
    this.#sink.end()
  }

  stop(): void {
    this.#over = true
    this.#wake?.()
  }

  #due(): number {
    return performance.now() + this.#rules.delayMs
  }

  #add(item: Item): void {
    this.#items.push(item)
    this.#wake?.()
  }

  async #carry(): Promise<void> {
    while (!this.#over) {
      const item = this.#items.shift()
      if (item === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
        continue
      }
      const wait = item.dueAt - performance.now()
      if (wait > 0) await duration(wait)
      for (let silence = this.#silence(); silence !== undefined; silence = this.#silence()) await silence
      if (this.#over) return
      if ('end' in item) this.#end(item.end)
      else await this.#pass(item.bytes)
    }
  }

  #silence(): Promise<void> | undefined {
    return this.#rules.silence(this.direction)
  }

  #end(how: 'finished' | 'broken'): void {
    if (how === 'broken') return this.#rules.reset()
    this.#over = true
    this.#sink.end()
  }

  async #pass(bytes: Buffer): Promise<void> {
    const rate = this.#rules.bytesPerSecond
    const size = rate === undefined ? bytes.length : Math.max(1, Math.ceil(rate / PIECES_PER_SECOND))
    for (let at = 0; at < bytes.length && !this.#over; at += size) {
      for (let silence = this.#silence(); silence !== undefined; silence = this.#silence()) await silence
      const piece = bytes.subarray(at, at + size)
      const allowed = this.#rules.passing(this.direction, piece.length)
      await this.#write(piece.subarray(0, allowed))
      this.#held -= piece.length
      if (this.#rules.passed(this.direction, allowed)) return this.#rules.reset()
      if (rate !== undefined) await duration((1_000 * piece.length) / rate)
    }
    if (this.#held <= MAX_HELD_BYTES / 2) this.#source.resume()
  }

  /** Resolves when the kernel has the bytes, so that a reset that follows comes after them. */
  #write(bytes: Buffer): Promise<void> {
    if (bytes.length === 0 || !this.#sink.writable) return Promise.resolve()
    return new Promise((resolve) => this.#sink.write(bytes, () => resolve()))
  }
}
