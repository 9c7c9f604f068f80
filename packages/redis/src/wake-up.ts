import { atMost, untilNextStep } from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import { CHECK_WAITING } from './group-scripts.js'
import type { Partition } from './keys.js'

/** How long the server holds an unanswered read, at most, in milliseconds: the reads of all loops of a process end together. */
export const BLOCK_MS = 10_000

/** How often waiting partitions are checked if heartbeats are rarer, in milliseconds. */
const CHECK_MS = 2_000

/**
 * Maximum number of groups that a check reads, over all partitions, to find those that were moved; with more it does so
 * less often.
 */
const GROUPS_PER_CHECK = 500

/** Maximum pause before a read that has not reached the server is interrupted again, in milliseconds. */
const MAX_INTERRUPT_PAUSE_MS = 100

/** A partition whose reader waits for new entries. */
interface Waiter {
  readonly partition: Partition
  /** Fences the partition; empty for members that share it. */
  readonly token: string
  readonly lastId: string
  readonly wake: () => void
}

/** A stream that is watched until the loop closes. */
interface Listener {
  lastId: string
  readonly changed: () => void
}

/**
 * Notifies waiting readers of new entries, by one blocking read over all of their streams on its own connection. Only a
 * signal: what it reads is discarded, and the guarded fetch decides. While nothing is written, a loop costs one
 * blocking read per {@link BLOCK_MS} and one check with each heartbeat, however many partitions it has.
 */
export class WakeUp {
  readonly #blocking: Connection
  readonly #commands: Connection
  readonly #group: string
  readonly #waiting = new Map<string, Waiter>()
  readonly #listeners = new Map<string, Listener>()
  #clientId: string | undefined
  /** Streams of the read in flight; `undefined` while nothing is read. */
  #watched: ReadonlySet<string> | undefined
  /** The read in flight. */
  #answer: Promise<unknown> = Promise.resolve()
  #interrupting = false
  #checkTimer: NodeJS.Timeout | undefined
  /** Checks until the next one that finds moved groups. */
  #untilThorough = 0
  #stopped = false

  constructor(blocking: Connection, commands: Connection, group: string) {
    this.#blocking = blocking
    this.#commands = commands
    this.#group = group
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

  /**
   * Resolves when the partition has entries after `lastId`, or when its reader must check for another reason: the group
   * was lost or moved, or the lease (checked when `token` isn't empty) is no longer held or carries a mark.
   */
  wait(partition: Partition, token: string, lastId: string): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    return new Promise((wake) => {
      this.#waiting.set(partition.stream, { partition, token, lastId, wake })
      this.#include(partition.stream)
      this.#checkTimer ??= setTimeout(() => void this.check(), CHECK_MS)
    })
  }

  /**
   * Wakes readers that must check for what the blocking read can't report: a group that was lost or moved, a lease that
   * another member has, a stream that was recreated with lower ids, and entries that a read on a dead connection would
   * have reported. Called with each heartbeat, for one write to the server; runs automatically if these are rare. Never
   * rejects.
   */
  async check(): Promise<void> {
    clearTimeout(this.#checkTimer)
    this.#checkTimer = undefined
    const waiters = [...this.#waiting.values()]
    if (waiters.length === 0 || this.#stopped) return
    this.#checkTimer = setTimeout(() => void this.check(), CHECK_MS)
    const thorough = this.#untilThorough === 0
    if (!thorough) this.#untilThorough -= 1
    const reply = await this.#commands
      .run(
        CHECK_WAITING,
        waiters.flatMap(({ partition }) => [partition.stream, partition.lease]),
        [this.#group, thorough ? '1' : '', ...waiters.flatMap(({ token, lastId }) => [token, lastId])],
      )
      // The reader that meets an error reports it.
      .catch(() => [0, [...waiters.keys()]])
    const [groups, due] = reply as [number, readonly number[]]
    if (thorough) this.#untilThorough = Math.floor((groups * waiters.length) / GROUPS_PER_CHECK)
    for (const index of due) {
      const waiter = waiters[index]
      if (waiter !== undefined && this.#waiting.get(waiter.partition.stream) === waiter)
        this.wake(waiter.partition.stream)
    }
  }

  /** Wakes the reader of a stream now. */
  wake(stream: string): void {
    const waiter = this.#waiting.get(stream)
    this.#waiting.delete(stream)
    waiter?.wake()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#checkTimer)
    this.#listeners.clear()
    this.#wakeAll()
  }

  #include(stream: string): void {
    if (this.#watched === undefined) void this.#watch()
    else if (!this.#watched.has(stream)) void this.#interrupt()
  }

  async #watch(): Promise<void> {
    this.#watched = new Set()
    // Partitions that become idle in the same turn share the read.
    await Promise.resolve()
    while (this.#waiting.size + this.#listeners.size > 0 && !this.#stopped) {
      const from = [...this.#listeners, ...this.#waiting].map(([stream, { lastId }]) => [stream, lastId] as const)
      const streams = from.map(([stream]) => stream)
      this.#watched = new Set(streams)
      const answer = this.#blocking
        .call(
          'XREAD',
          'COUNT',
          1,
          'BLOCK',
          untilNextStep(BLOCK_MS),
          'STREAMS',
          ...streams,
          ...from.map(([, lastId]) => lastId),
        )
        // A broken connection notifies its owner itself.
        .catch(() => undefined)
      this.#answer = answer
      const reply = await answer
      if (reply === undefined) break
      // Timed out, or interrupted: the next read includes all that wait by then.
      if (reply !== null) this.#notify(reply as readonly Reply[])
    }
    this.#watched = undefined
    this.#wakeAll()
  }

  #notify(reply: readonly Reply[]): void {
    for (const [name, entries] of reply) {
      const stream = name.toString()
      const listener = this.#listeners.get(stream)
      if (listener === undefined) this.wake(stream)
      else {
        listener.lastId = String(entries[0]?.[0] ?? listener.lastId)
        listener.changed()
      }
    }
  }

  #wakeAll(): void {
    for (const stream of [...this.#waiting.keys()]) this.wake(stream)
  }

  /**
   * Makes the read in flight return until one is in flight that has every stream. One at a time, for all that began to
   * wait.
   */
  async #interrupt(): Promise<void> {
    if (this.#interrupting) return
    this.#interrupting = true
    await Promise.resolve()
    for (let pauseMs = 1; this.#missesOne(); pauseMs = Math.min(2 * pauseMs, MAX_INTERRUPT_PAUSE_MS)) {
      const answer = this.#answer
      const unblocked = await this.#commands.call('CLIENT', 'UNBLOCK', this.#clientId ?? '0').catch(() => undefined)
      if (unblocked === undefined) break
      if (Number(unblocked) === 1) await answer
      // The read is still in flight to the server, by another connection, or its answer is.
      else if (this.#answer === answer) await atMost(answer, pauseMs)
    }
    this.#interrupting = false
  }

  #missesOne(): boolean {
    const watched = this.#watched
    if (watched === undefined || this.#stopped) return false
    return [...this.#listeners.keys(), ...this.#waiting.keys()].some((stream) => !watched.has(stream))
  }
}

type Reply = readonly [stream: Buffer, entries: readonly (readonly [Buffer])[]]
