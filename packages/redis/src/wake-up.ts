import type { Connection } from './connection.js'

/** How long the server holds an unanswered read, in milliseconds; then waiting readers look by themselves. */
export const BLOCK_MS = 1_000

interface Waiter {
  readonly lastId: string
  readonly wake: () => void
}

/** A stream that is listened to all the time. */
interface Listener {
  lastId: string
  readonly changed: () => void
}

/**
 * Tells waiting readers that their stream has something new, by one blocking read over all of them on a connection of its own. Only
 * a signal: what it reads is thrown away, and the guarded fetch decides.
 */
export class WakeUp {
  readonly #blocking: Connection
  readonly #commands: Connection
  readonly #waiting = new Map<string, Waiter>()
  readonly #listeners = new Map<string, Listener>()
  #clientId: string | undefined
  /** Streams of the read that is on its way. */
  #watched: ReadonlySet<string> | undefined
  #stopped = false

  constructor(blocking: Connection, commands: Connection) {
    this.#blocking = blocking
    this.#commands = commands
  }

  async open(): Promise<void> {
    this.#clientId = String(await this.#blocking.call('CLIENT', 'ID'))
  }

  /** Calls `changed` whenever something is added to the stream from now on. */
  async listen(stream: string, changed: () => void): Promise<void> {
    const last = (await this.#commands.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)) as [Buffer][]
    this.#listeners.set(stream, { lastId: String(last[0]?.[0] ?? '0-0'), changed })
    this.#include(stream)
  }

  /** Resolves when the stream may hold entries after `lastId`, or after {@link BLOCK_MS}. */
  wait(stream: string, lastId: string): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    return new Promise((wake) => {
      this.#waiting.set(stream, { lastId, wake })
      this.#include(stream)
    })
  }

  /** Wakes the reader of a stream now. */
  wake(stream: string): void {
    const waiter = this.#waiting.get(stream)
    this.#waiting.delete(stream)
    waiter?.wake()
  }

  stop(): void {
    this.#stopped = true
    this.#listeners.clear()
    for (const stream of [...this.#waiting.keys()]) this.wake(stream)
  }

  #include(stream: string): void {
    if (this.#watched === undefined) void this.#watch()
    else if (!this.#watched.has(stream)) void this.#interrupt()
  }

  async #watch(): Promise<void> {
    this.#watched = new Set()
    // What goes idle in the same turn shares the read.
    await Promise.resolve()
    while (this.#waiting.size + this.#listeners.size > 0 && !this.#stopped) {
      const from = [...this.#listeners, ...this.#waiting].map(([stream, { lastId }]) => [stream, lastId] as const)
      const streams = from.map(([stream]) => stream)
      this.#watched = new Set(streams)
      const reply = await this.#blocking
        .call('XREAD', 'COUNT', 1, 'BLOCK', BLOCK_MS, 'STREAMS', ...streams, ...from.map(([, lastId]) => lastId))
        // A connection that broke tells its owner itself.
        .catch(() => undefined)
      if (reply === undefined) break
      this.#tell(reply as readonly Reply[] | null, streams)
    }
    this.#watched = undefined
    for (const stream of [...this.#waiting.keys()]) this.wake(stream)
  }

  #tell(reply: readonly Reply[] | null, streams: readonly string[]): void {
    // Nothing within the time: readers look by themselves, for what an id can't tell (a stream that was made anew).
    for (const stream of reply === null ? streams : []) this.wake(stream)
    for (const [name, entries] of reply ?? []) {
      const stream = name.toString()
      const listener = this.#listeners.get(stream)
      if (listener === undefined) this.wake(stream)
      else {
        listener.lastId = String(entries[0]?.[0] ?? listener.lastId)
        listener.changed()
      }
    }
  }

  /** Makes the read on its way return, so that it begins anew with one stream more. */
  async #interrupt(): Promise<void> {
    await this.#commands.call('CLIENT', 'UNBLOCK', this.#clientId ?? '0').catch(() => {})
  }
}

type Reply = readonly [stream: Buffer, entries: readonly (readonly [Buffer])[]]
