import type { ConsumerSink, Delivery, OutOfRange, PartitionAssignment, RemovedRange } from '@streamswitch/core/driver'

/** What a driver told its sink, in order; plays core's part, by default with room for everything. */
export class Recorder implements ConsumerSink {
  readonly deliveries: Delivery[] = []
  readonly assignments = new Set<PartitionAssignment>()
  readonly steps: string[] = []
  readonly reports: unknown[] = []
  readonly losses: unknown[] = []
  readonly outside: OutOfRange[] = []
  readonly gone: RemovedRange[] = []
  /** How often a driver told that it went on where the group was. */
  ignored = 0
  /** Where to go on from a position outside of the log. */
  policy: 'earliest' | 'latest' = 'earliest'
  /** What deliveries are answered with: a promise says that there is no room. */
  room: Promise<void> | undefined
  /** Runs while partitions are handed over, before they are let go. */
  onRevoked: (partitions: readonly PartitionAssignment[], how: 'graceful' | 'lost') => Promise<void> = async () => {}
  #watchers: (() => void)[] = []

  assigned(partitions: readonly PartitionAssignment[]): void {
    for (const partition of partitions) this.assignments.add(partition)
    this.#note(`assigned ${numbers(partitions)}`)
  }

  async revoked(partitions: readonly PartitionAssignment[], how: 'graceful' | 'lost'): Promise<void> {
    await this.onRevoked(partitions, how)
    for (const partition of partitions) this.assignments.delete(partition)
    this.#note(`revoked ${how} ${numbers(partitions)}`)
  }

  deliver(_assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> | undefined {
    this.deliveries.push(...deliveries)
    this.#note(`delivered ${deliveries.length}`)
    return this.room
  }

  capacity(): number {
    return 1_000
  }

  lost(error: unknown): void {
    this.losses.push(error)
    this.#note('lost')
  }

  outOfRange(where: OutOfRange): 'earliest' | 'latest' {
    this.outside.push(where)
    this.#note('outside')
    return this.policy
  }

  removed(range: RemovedRange): void {
    this.gone.push(range)
    this.#note('removed')
  }

  partitionStopped(): 'wait' {
    return 'wait'
  }

  partitionResumed(): void {}

  startIgnored(): void {
    this.ignored += 1
  }

  report(error: unknown): void {
    this.reports.push(error)
    this.#note('report')
  }

  /** Resolves once the condition holds; it is looked at after each call of the driver's. The test's own timeout bounds it. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#watchers.push(resolve))
  }

  #note(step: string): void {
    this.steps.push(step)
    for (const wake of this.#watchers.splice(0)) wake()
  }
}

function numbers(partitions: readonly PartitionAssignment[]): string {
  return partitions.map(({ partition }) => partition).join(',')
}
