import { Transport } from '@streamswitch/core'
import {
  type ConsumerDriver,
  type ConsumerSink,
  type ConsumerSpec,
  type Delivery,
  driverOf,
  type OutOfRange,
  type PartitionAssignment,
} from '@streamswitch/core/driver'
import { onTestFinished } from 'vitest'
import redis from '../src/index.js'

/** A member of a group at the level of its driver, with a sink that keeps all it is told and settles nothing by itself. */
export class DriverMember implements ConsumerSink {
  readonly driver: ConsumerDriver
  readonly #transport: Transport
  readonly held: PartitionAssignment[] = []
  readonly delivered: Delivery[] = []
  readonly revocations: { readonly partition: number; readonly how: string }[] = []
  readonly outside: OutOfRange[] = []
  readonly reports: unknown[] = []
  lostWith: unknown
  /** What is delivered waits for room until then, and what is revoked for its handlers. */
  busy: Promise<void> | undefined

  private constructor(
    url: string,
    topic: string,
    group: string,
    options: Readonly<Record<string, unknown>>,
    spec: Partial<ConsumerSpec>,
  ) {
    const transport = new Transport(redis, url, {
      options,
      environment: {},
      logger: { debug() {}, info() {}, warn() {}, error() {} },
    })
    this.#transport = transport
    this.driver = driverOf(transport).consumer(
      {
        topics: [transport.topicSpec(topic)],
        group,
        brokerGroup: group,
        derivedGroup: group,
        groupOrigin: group,
        member: 'm',
        ordering: 'key',
        from: undefined,
        prefetch: 1_000,
        maxHandlingMs: 10_000,
        options: {},
        ...spec,
      },
      this,
    )
    onTestFinished(() => this.driver.close())
  }

  static async open(
    url: string,
    topic: string,
    group: string,
    options: Readonly<Record<string, unknown>> = {},
    spec: Partial<ConsumerSpec> = {},
    busy?: Promise<void>,
  ): Promise<DriverMember> {
    const member = new DriverMember(url, topic, group, options, spec)
    member.busy = busy
    await member.driver.open(AbortSignal.timeout(5_000))
    return member
  }

  /** Ends the member as the death of its process would: nothing is given back. */
  async die(): Promise<void> {
    await driverOf(this.#transport).close()
  }

  assigned(partitions: readonly PartitionAssignment[]): void {
    this.held.push(...partitions)
  }

  async revoked(partitions: readonly PartitionAssignment[], how: 'graceful' | 'lost'): Promise<void> {
    for (const one of partitions) {
      this.held.splice(this.held.indexOf(one), 1)
      this.revocations.push({ partition: one.partition, how })
    }
    if (how === 'graceful') await this.busy
  }

  deliver(_assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> | undefined {
    this.delivered.push(...deliveries)
    return this.busy
  }

  capacity(assignment: PartitionAssignment): number {
    return this.held.includes(assignment) ? 1_000 : 0
  }

  lost(error: unknown): void {
    this.lostWith = error
  }

  outOfRange(where: OutOfRange): 'latest' {
    this.outside.push(where)
    return 'latest'
  }

  partitionStopped(): 'wait' {
    return 'wait'
  }
  partitionResumed(): void {}
  startIgnored(): void {}

  report(error: unknown): void {
    this.reports.push(error)
  }

  get ids(): string[] {
    return this.delivered.map((delivery) => delivery.id)
  }
}
