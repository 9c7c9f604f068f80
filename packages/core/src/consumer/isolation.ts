import { nextTurn } from '../time.js'
import type { Delivery } from './delivery.js'
import type { PartitionState } from './partition-state.js'

/** One loop's dispatcher. */
export interface IsolatedLoop {
  readonly started: boolean
  /** Number of running handlers whose messages are still its own, except those that only wait for their ack. */
  readonly atWork: number
  dispatch(): void
}

/** A start that this process has recorded as running. */
interface NotedStart {
  /** Attempts before it. */
  readonly before: number
  /** Attempts in the note. */
  readonly counted: number
}

/**
 * A turn of the event loop that took this long was blocked, in milliseconds: brokers may have considered the process
 * dead.
 */
const BLOCKED_MS = 2_000
/** How long after such a turn the loss of a partition counts as its consequence, in milliseconds. */
const CONSEQUENCE_MS = 30_000
/** Maximum number of messages remembered. */
const MOST = 10_000

/**
 * Shared by all loops of this process: messages that may end it, or block its event loop for so long that its
 * partitions are revoked. Knows which of them are to run alone, and which one does. The end of the process can be
 * attributed to one message only while nothing else is running.
 */
export class Isolation {
  /** A message runs alone, or waits for the others to end: nothing else is started, in any loop. */
  active = false
  readonly #loops = new Set<IsolatedLoop>()
  /** Partitions whose next message must run alone, and the loops they belong to. */
  readonly #waiting = new Map<PartitionState, IsolatedLoop>()
  #alone: Delivery | undefined
  /** Starts that this process has recorded. Records of a process that is alive don't count. */
  readonly #noted = new Map<string, NotedStart>()
  /** In how many blocked turns in a row that cost it its partition a message was running. */
  readonly #blocked = new Map<string, number>()
  #tickAt = performance.now()
  #blockedAt = Number.NEGATIVE_INFINITY

  /** The loop starts handlers. */
  join(loop: IsolatedLoop): void {
    this.#loops.add(loop)
  }

  /** The loop no longer starts handlers. */
  leave(loop: IsolatedLoop): void {
    for (const [partition, of] of this.#waiting) if (of === loop) this.#waiting.delete(partition)
    this.#changed()
  }

  /**
   * The next message of a partition must run alone: returns true when it may start now. Must be followed by {@link
   * end}.
   */
  admits(delivery: Delivery, partition: PartitionState, loop: IsolatedLoop): boolean {
    if (this.#alone !== undefined || this.#isBusy()) {
      this.#waiting.set(partition, loop)
      this.active = true
      return false
    }
    this.#waiting.delete(partition)
    this.#alone = delivery
    this.active = true
    return true
  }

  /** A handler has ended, or only waits for its ack. */
  freed(): void {
    if (this.#alone === undefined && !this.#isBusy()) this.#changed()
  }

  /** The message no longer runs alone: its outcome is recorded, or it never started. */
  end(delivery: Delivery): void {
    if (this.#alone !== delivery) return
    this.#alone = undefined
    this.#changed()
  }

  /** The next message of the partition need not run alone, or is not started here. */
  notWaiting(partition: PartitionState): void {
    if (this.#waiting.delete(partition)) this.#changed()
  }

  /** Nothing of the partition is started any more. */
  forget(partition: PartitionState): void {
    if (!this.active) return
    if (this.#alone?.partitionState === partition) this.#alone = undefined
    this.#waiting.delete(partition)
    this.#changed()
  }

  /** Called about every second by each running loop: detects turns of the event loop that took too long. */
  tick(): void {
    const now = performance.now()
    if (now - this.#tickAt > BLOCKED_MS) this.#blockedAt = now
    this.#tickAt = now
  }

  /** A loop starts calling {@link tick}. */
  begin(): void {
    if (this.#loops.size === 0) this.#tickAt = performance.now()
  }

  /** A start is about to be recorded as running, with this number of counted attempts. */
  noting(group: string, delivery: Delivery, counted: number): void {
    bounded(this.#noted, nameOf(group, delivery), { before: delivery.attempt - 1, counted })
  }

  /** The message is done. */
  done(group: string, delivery: Delivery): void {
    const name = nameOf(group, delivery)
    this.#noted.delete(name)
    this.#blocked.delete(name)
  }

  /**
   * These messages were running when their partition was lost. Remembers them if this process had blocked its event
   * loop.
   */
  lost(group: string, deliveries: Iterable<Delivery>): void {
    const now = performance.now()
    if (now - this.#tickAt <= BLOCKED_MS && now - this.#blockedAt > CONSEQUENCE_MS) return
    for (const delivery of deliveries) {
      const name = nameOf(group, delivery)
      bounded(this.#blocked, name, (this.#blocked.get(name) ?? 0) + 1)
    }
  }

  /** Corrects the journal's entries by what this process knows about itself. */
  delivered(group: string, deliveries: readonly Delivery[]): void {
    if (this.#noted.size === 0 && this.#blocked.size === 0) return
    for (const delivery of deliveries) {
      const name = nameOf(group, delivery)
      const blocked = this.#blocked.get(name)
      if (blocked !== undefined) {
        delivery.suspect = true
        delivery.isolated ||= blocked > 1
        delivery.attempt = Math.max(delivery.attempt, blocked - 2)
      } else if (delivery.isolated) {
        const noted = this.#noted.get(name)
        if (noted === undefined) continue
        this.#noted.delete(name)
        // Each start of a message that was found running counts one more: another process has had it since, and has crashed or lost it.
        if (noted.counted !== delivery.attempt) continue
        delivery.isolated = false
        delivery.attempt = noted.before
      }
    }
  }

  #isBusy(): boolean {
    for (const loop of this.#loops) if (loop.atWork > 0) return true
    return false
  }

  #changed(): void {
    this.active = this.#alone !== undefined || this.#waiting.size > 0
    // What runs in a paused loop counts until it ends.
    for (const loop of this.#loops) if (!loop.started && loop.atWork === 0) this.#loops.delete(loop)
    nextTurn(() => {
      for (const loop of [...this.#loops]) if (loop.started) loop.dispatch()
    })
  }
}

function nameOf(group: string, delivery: Delivery): string {
  return `${group}/${delivery.origin}/${delivery.partition}/${delivery.id}`
}

function bounded<T>(map: Map<string, T>, name: string, value: T): void {
  map.delete(name)
  map.set(name, value)
  if (map.size <= MOST) return
  for (const oldest of map.keys()) {
    map.delete(oldest)
    return
  }
}

const ISOLATION = Symbol.for('streamswitch.Isolation')

/** Returns the isolation of this process, also when this package is loaded twice. */
export function processIsolation(): Isolation {
  const holder = globalThis as { [ISOLATION]?: Isolation }
  holder[ISOLATION] ??= new Isolation()
  return holder[ISOLATION]
}
