import {
  type ConsumerDriver,
  type ConsumerSink,
  type Delivery,
  driverOf,
  type PartitionAssignment,
} from '@streamswitch/core/driver'
import { expect, onTestFinished, test } from 'vitest'
import { AmqpConsumerDriver } from '../src/consumer.js'
import { brokerUrl } from './support/broker.js'
import { openTransport, uniqueName } from './support/member.js'

const WAIT = { timeout: 40_000, interval: 20 }
const PREFETCH = 5

test('what waits for a member that could take it is counted per partition, without asking the others', async () => {
  const topic = uniqueName('waiting')
  const transport = openTransport(brokerUrl)
  onTestFinished(async () => {
    await transport.admin.deleteTopic(transport.topicSpec(topic))
    await transport.close()
  })
  const spec = transport.topicSpec(topic, { partitions: 2 })
  const assigned: PartitionAssignment[] = []
  const delivered: Delivery[] = []
  const sink: ConsumerSink = {
    assigned: (partitions) => void assigned.push(...partitions),
    revoked: async () => {},
    deliver: (_assignment, deliveries) => void delivered.push(...deliveries),
    capacity: () => 1_000,
    lost: () => {},
    outOfRange: () => 'earliest',
    partitionStopped: () => 'wait',
    partitionResumed: () => {},
    startIgnored: () => {},
    report: () => {},
  }
  const driver: ConsumerDriver = driverOf(transport).consumer(
    {
      topics: [spec],
      ...transport.groupNames('g'),
      member: 'm',
      ordering: 'key',
      from: undefined,
      prefetch: PREFETCH,
      maxHandlingMs: 60_000,
      options: {},
    },
    sink,
  )
  if (!(driver instanceof AmqpConsumerDriver)) throw new TypeError('another driver')
  expect(await driver.undelivered()).toEqual(new Map())
  await driver.open(new AbortController().signal)
  onTestFinished(() => driver.close())
  await expect.poll(() => assigned.length, WAIT).toBe(2)
  const counts = async () =>
    Object.fromEntries([...(await driver.undelivered())].map(([{ partition }, count]) => [partition, count]))
  expect(await counts()).toEqual({ 0: 0, 1: 0 })

  const producer = transport.producer<number>(topic)
  for (let number = 0; number < 12; number += 1) await producer.send(number, { partition: 0 })
  await expect.poll(() => delivered.length, WAIT).toBe(PREFETCH)
  // Seven wait, and the broker sends none of them before an ack.
  expect(await counts()).toEqual({ 0: 0, 1: 0 })
  while (delivered.length < 12) {
    const some = delivered.slice(-PREFETCH)
    const before = delivered.length
    await driver.ack((some[0] as Delivery).assignment, some)
    await expect.poll(() => delivered.length, WAIT).toBeGreaterThan(before)
  }
  expect(await counts()).toEqual({ 0: 0, 1: 0 })
})
