import type { ConsumerDriver, PartitionAssignment, PartitionLag } from '../contract/consumer-driver.js'
import { StreamError } from '../errors.js'
import { withSignal } from '../session.js'
import { deadlineSignal, everyInStep } from '../time.js'
import type { PartitionState } from './partition-state.js'

/** After a recovery without effect the next one waits twice as long, up to this many times `stallTimeoutMs`. */
const MAX_PATIENCE = 64

/** How many timeouts a stalled partition may take to be assigned again. */
const RETURN_TIMEOUTS = 4

/** A partition with a backlog of which nothing is delivered. */
export interface Stall {
  readonly topic: string
  readonly partition: number
  /** Messages due for delivery. */
  readonly backlog: number
  /** Time of the last progress, in milliseconds since the epoch. */
  readonly since: number
  readonly reason: string
}

export interface StallWatchHost {
  readonly ordering: 'key' | 'none'
  partitions(): Iterable<PartitionState>
  /** How many more deliveries of the partition fit. */
  roomOf(partition: PartitionState): number
  /** The open driver; `undefined` during an outage, which isn't a stall. */
  openDriver(): ConsumerDriver | undefined
  /** There is a backlog, and nothing is delivered: replace the driver. */
  stalled(stall: Stall): void
  /** The partition makes progress again. */
  recovered(stall: Stall): void
}

interface Quiet {
  readonly received: number
  /** By the monotonic clock: a clock change is not a silence. */
  readonly since: number
  /** There was a backlog at the last check. */
  backlog: boolean
}

/**
 * Detects silent hangs: connected, assigned, room in the inbox, messages at the broker, and nothing delivered for
 * `stallTimeoutMs`. Queries the lag only while a partition is quiet, twice per timeout, so that a stall is detected
 * within one and a half timeouts of the last delivery. Slow handlers, a paused loop and a full window eventually leave
 * no room in the inbox, or have nothing to wait for, and so don't count as stalls.
 */
export class StallWatch {
  readonly #host: StallWatchHost
  readonly #timeoutMs: number
  readonly #quiet = new Map<PartitionAssignment, Quiet>()
  readonly #stalls = new Map<string, Stall>()
  #end: (() => void) | undefined
  #looking = false
  /** Time of the last detected stall. */
  #stalledAt = 0
  #patience = 1

  constructor(host: StallWatchHost, timeoutMs: number) {
    this.#host = host
    this.#timeoutMs = timeoutMs
  }

  /** The longest current stall. */
  get current(): Stall | undefined {
    const [oldest] = [...this.#stalls.values()].sort((left, right) => left.since - right.since)
    return oldest
  }

  start(): void {
    if (this.#timeoutMs === 0 || this.#end !== undefined) return
    this.#end = everyInStep(Math.max(1, this.#timeoutMs / 2), () => void this.#look())
  }

  stop(): void {
    this.#end?.()
  }

  /** A batch was delivered. Called per batch, and does nothing unless there is a stall. */
  delivered({ topic, partition }: PartitionAssignment): void {
    if (this.#stalls.size > 0) this.#recover(nameOf(topic, partition))
  }

  async #look(): Promise<void> {
    const driver = this.#host.openDriver()
    if (this.#looking || driver === undefined || (driver.undelivered ?? driver.lag) === undefined) return
    const waiting = this.#waiting()
    if (waiting.length === 0) return
    this.#looking = true
    try {
      await this.#compare(driver, waiting)
    } finally {
      this.#looking = false
    }
  }

  /** Partitions that have room and received nothing since the last check. */
  #waiting(): PartitionState[] {
    const waiting: PartitionState[] = []
    const seen = new Set<PartitionAssignment>()
    for (const partition of this.#host.partitions()) {
      const { assignment, received, phase, inbox } = partition
      seen.add(assignment)
      const known = this.#quiet.get(assignment)
      if (known?.received !== received)
        this.#quiet.set(assignment, { received, since: performance.now(), backlog: false })
      else if (phase === 'open' && inbox.length === 0 && this.#host.roomOf(partition) > 0) waiting.push(partition)
      else known.backlog = false
    }
    for (const assignment of this.#quiet.keys()) if (!seen.has(assignment)) this.#quiet.delete(assignment)
    this.#forgetMoved(seen)
    return waiting
  }

  /** A partition that isn't assigned again with the new connection belongs to another member now, which watches it. */
  #forgetMoved(assigned: ReadonlySet<PartitionAssignment>): void {
    if (this.#stalls.size === 0 || performance.now() - this.#stalledAt < this.#timeoutMs * RETURN_TIMEOUTS) return
    const owned = new Set([...assigned].map(({ topic, partition }) => nameOf(topic, partition)))
    for (const name of this.#stalls.keys()) if (!owned.has(name)) this.#stalls.delete(name)
  }

  async #compare(driver: ConsumerDriver, waiting: readonly PartitionState[]): Promise<void> {
    const backlogOf = await this.#backlogsOf(driver)
    if (driver !== this.#host.openDriver()) return
    for (const partition of waiting) {
      const quiet = this.#quiet.get(partition.assignment)
      // Something may have been delivered, or the partition revoked, while the broker was queried.
      if (quiet === undefined || quiet.received !== partition.received || partition.phase !== 'open') continue
      const backlog = backlogOf(partition)
      if (backlog === 0) this.#allHandled(quiet, partition)
      else if (quiet.backlog && performance.now() - quiet.since >= this.#timeoutMs * this.#patience)
        return this.#stall(partition, quiet, backlog)
      else quiet.backlog = true
    }
  }

  /**
   * Returns NaN for every partition when the broker doesn't answer, and 0 when it refuses: a refusal carries no
   * information.
   */
  async #backlogsOf(driver: ConsumerDriver): Promise<(partition: PartitionState) => number> {
    const deadline = deadlineSignal(Math.max(1, this.#timeoutMs / 2))
    try {
      return await withSignal(this.#ask(driver), deadline)
    } catch {
      return () => (deadline.aborted ? Number.NaN : 0)
    }
  }

  async #ask(driver: ConsumerDriver): Promise<(partition: PartitionState) => number> {
    if (driver.undelivered !== undefined) {
      const counts = await driver.undelivered()
      return ({ assignment }) => counts.get(assignment) ?? 0
    }
    const lags = (await driver.lag?.()) ?? []
    return (partition) => this.#backlogOf(partition, lags)
  }

  #backlogOf(partition: PartitionState, lags: readonly PartitionLag[]): number {
    const { topic, partition: number } = partition.assignment
    const found = lags.find((one) => one.topic === topic && one.partition === number)
    if (found === undefined) return 0
    // Where partitions have no owner, messages held by other members count for the lag too.
    if (this.#host.ordering === 'none') return found.unacked === undefined ? 0 : Math.max(0, found.lag - found.unacked)
    return Math.max(0, found.lag - partition.tracked.length - partition.done.length)
  }

  #allHandled(quiet: Quiet, { assignment }: PartitionState): void {
    quiet.backlog = false
    this.#recover(nameOf(assignment.topic, assignment.partition))
  }

  #stall({ assignment }: PartitionState, { since }: Quiet, backlog: number): void {
    const { topic, partition } = assignment
    const name = nameOf(topic, partition)
    const known = this.#stalls.get(name)
    const quietMs = Math.round(performance.now() - since)
    const reason = Number.isNaN(backlog)
      ? `nothing was delivered for ${quietMs} ms, and the broker does not report the lag`
      : `${backlog} messages wait, and none was delivered for ${quietMs} ms`
    const stall: Stall = {
      topic,
      partition,
      backlog: Number.isNaN(backlog) ? 0 : backlog,
      since: known?.since ?? Date.now() - quietMs,
      reason,
    }
    this.#stalls.set(name, stall)
    this.#stalledAt = performance.now()
    this.#patience = Math.min(MAX_PATIENCE, this.#patience * 2)
    this.#quiet.clear()
    this.#host.stalled(stall)
  }

  #recover(name: string): void {
    const stall = this.#stalls.get(name)
    if (stall === undefined) return
    this.#stalls.delete(name)
    if (this.#stalls.size === 0) this.#patience = 1
    this.#host.recovered(stall)
  }
}

/** Returns the error with which a driver that delivers nothing is given up. */
export function stallError(subject: string, transport: string, { topic, partition, reason }: Stall): StreamError {
  return new StreamError(`${subject}: partition ${partition} of '${topic}' is stalled: ${reason} (stallTimeoutMs)`, {
    code: 'UNAVAILABLE',
    transport,
    topic,
    operation: 'consume',
  })
}

function nameOf(topic: string, partition: number): string {
  return `${topic}/${partition}`
}
