import { randomUUID } from 'node:crypto'
import { Transport } from '@streamswitch/core'
import { type ConsumerDriver, driverOf, type StartPosition } from '@streamswitch/core/driver'
import { onTestFinished } from 'vitest'
import kafka from '../../src/index.js'
import { type KafkaConsumerValues, kafkaConsumerFields } from '../../src/options.js'
import { brokerUrl } from './broker.js'
import { Recorder } from './recorder.js'

const DEFAULTS = Object.fromEntries(
  Object.entries(kafkaConsumerFields).map(([name, field]) => [name, field.defaultValue]),
) as unknown as KafkaConsumerValues

/** A topic name that no other test has. */
export function uniqueTopic(): string {
  return `kafka-${randomUUID().slice(0, 13)}`
}

/** A transport of its own, closed with the test. */
export function openTransport(options: Readonly<Record<string, unknown>> = {}): Transport {
  const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  const transport = new Transport(kafka, brokerUrl, { environment: {}, logger: quiet, options })
  onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
  return transport
}

export interface MemberShape {
  readonly topic: string
  readonly group?: string
  readonly partitions?: number
  readonly from?: StartPosition
  readonly options?: Partial<KafkaConsumerValues>
  /** What the sink answers for a position outside of the log. Default `earliest`. */
  readonly outOfRange?: 'earliest' | 'latest'
}

export interface TestMember {
  readonly driver: ConsumerDriver
  readonly sink: Recorder
}

/** A consumer driver with a recorder in core's place, opened, and closed with the test. */
export async function joinGroup(shape: MemberShape): Promise<TestMember> {
  const transport = openTransport()
  const sink = new Recorder()
  sink.policy = shape.outOfRange ?? 'earliest'
  const driver = driverOf(transport).consumer(
    {
      topics: [transport.topicSpec(shape.topic, { partitions: shape.partitions })],
      ...transport.groupNames(shape.group ?? `${shape.topic}-group`),
      group: shape.group ?? 'g',
      member: randomUUID(),
      ordering: 'key',
      from: shape.from,
      prefetch: 1_000,
      maxHandlingMs: 60_000,
      options: { ...DEFAULTS, ...shape.options },
    },
    sink,
  )
  onTestFinished(() => driver.close())
  await driver.open(AbortSignal.timeout(15_000))
  return { driver, sink }
}

/** Sends texts to a partition; resolves when all are stored. */
export async function sendAll(topic: string, values: readonly string[], partition = 0): Promise<void> {
  const producer = openTransport().producer<string>(topic, { codec: 'text' })
  await Promise.all(values.map((value) => producer.send(value, { partition })))
}
