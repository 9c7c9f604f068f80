import type { PartitionAssignment } from '../contract/consumer-driver.js'
import type { StreamError } from '../errors.js'
import type { ErrorPolicy } from './failures.js'

/**
 * A partition that is stopped by a cause outside of this process: an unreadable batch, a dead letter that can't be
 * written.
 */
export interface StoppedPartition {
  readonly topic: string
  readonly partition: number
  /** The first reason. */
  readonly error: StreamError
  /** Milliseconds since the epoch. */
  readonly since: number
}

export interface StoppedPartitionsSettings {
  readonly errorPolicy: ErrorPolicy
  /** Reports the stop, once per stop, and its end. */
  readonly reports: {
    partitionStopped(partition: StoppedPartition): void
    partitionSkips(partition: StoppedPartition): void
    partitionResumed(partition: StoppedPartition): void
  }
  /** Ends the loop with this error. */
  readonly fail: (error: StreamError) => void
}

/**
 * The partitions of a loop that are stopped while the others continue. A partition stays stopped while anything in it
 * is: several messages may wait for the same cause. The caller that stopped it retries with a growing backoff, and
 * resumes it on success.
 */
export class StoppedPartitions {
  readonly #settings: StoppedPartitionsSettings
  readonly #stopped = new Map<PartitionAssignment, { readonly partition: StoppedPartition; causes: Set<object> }>()

  constructor(settings: StoppedPartitionsSettings) {
    this.#settings = settings
  }

  /** All partitions that are stopped now, in the order of stopping. */
  list(): StoppedPartition[] {
    return [...this.#stopped.values()].map(({ partition }) => partition)
  }

  /**
   * Something in the partition can't continue. Reported once, however often it is retried. Returns the decision of
   * `errorPolicy`: `skip` with `restart`; with `stop`, the default, `wait`, so that one record doesn't stop a whole
   * group; every other policy also ends the loop.
   *
   * @param cause - what can't continue: the driver's assignment, or the message.
   */
  stop(assignment: PartitionAssignment, cause: object, error: StreamError): 'wait' | 'skip' {
    const { errorPolicy, reports, fail } = this.#settings
    const { topic, partition } = assignment
    if (errorPolicy === 'restart') {
      reports.partitionSkips({ topic, partition, error, since: Date.now() })
      return 'skip'
    }
    this.#note(assignment, cause, error)
    if (errorPolicy !== 'stop') fail(error)
    return 'wait'
  }

  /** As {@link StoppedPartitions.stop}, for a transient cause (an outage): `errorPolicy` doesn't apply. */
  wait(assignment: PartitionAssignment, cause: object, error: StreamError): 'wait' {
    this.#note(assignment, cause, error)
    return 'wait'
  }

  has(assignment: PartitionAssignment): boolean {
    return this.#stopped.has(assignment)
  }

  /** What had stopped continues. Ignored for what never stopped. */
  resume(assignment: PartitionAssignment, cause: object): void {
    const found = this.#stopped.get(assignment)
    if (found?.causes.delete(cause) !== true || found.causes.size > 0) return
    this.#stopped.delete(assignment)
    this.#settings.reports.partitionResumed(found.partition)
  }

  #note(assignment: PartitionAssignment, cause: object, error: StreamError): void {
    const found = this.#stopped.get(assignment)
    if (found !== undefined) return void found.causes.add(cause)
    const { topic, partition } = assignment
    const stopped = { topic, partition, error, since: Date.now() }
    this.#stopped.set(assignment, { partition: stopped, causes: new Set([cause]) })
    this.#settings.reports.partitionStopped(stopped)
  }

  /** The partition was revoked from this member. */
  forget(assignment: PartitionAssignment): void {
    this.#stopped.delete(assignment)
  }
}
