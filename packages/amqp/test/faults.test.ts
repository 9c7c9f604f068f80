import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Transport } from '@streamswitch/core'
import { type BrokerHandle, startBroker } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import {
  expectCompleteInOrder,
  type Handled,
  isComplete,
  openTransport,
  Sender,
  startMember,
  uniqueName,
} from './support/member.js'

const WAIT = { timeout: 25_000, interval: 5 }
const PARTITIONS = 4
let broker: BrokerHandle

beforeAll(async () => {
  broker = await startBroker('rabbitmq')
  // How often channels look for deliveries that wait too long for their acks; a minute otherwise.
  await rabbitmqctl('eval', 'application:set_env(rabbit, channel_tick_interval, 300).')
})

afterAll(() => broker?.remove())

async function rabbitmqctl(...args: string[]): Promise<void> {
  await promisify(execFile)(broker.tool('rabbitmqctl'), args)
}

async function traffic(options: Readonly<Record<string, unknown>> = {}, prefetch = 100) {
  const topic = uniqueName('faults')
  const transport = openTransport(broker.url, options)
  const handled: Handled[] = []
  const producer = transport.producer<number>(topic, { partitions: PARTITIONS, sendTimeoutMs: 60_000 })
  const join = async (name: string) => {
    const member = await startMember({
      url: broker.url,
      topic,
      group: 'g',
      name,
      handled,
      options,
      settings: { partitions: PARTITIONS, prefetch },
      handler: () => new Promise((resolve) => setImmediate(resolve)),
    })
    onTestFinished(() => member.transport.close())
    return member
  }
  onTestFinished(() => transport.close())
  const sender = new Sender(producer)
  const flow = (count: number): Promise<void> => {
    const target = handled.length + count
    const goesOn = expect.poll(() => {
      if (sender.unconfirmed < 400) sender.send(100)
      return handled.length
    }, WAIT)
    return goesOn.toBeGreaterThan(target)
  }
  return { topic, transport, sender, handled, join, flow }
}

test('a channel that the server closes: the partition is lost, opened again, and goes on; the others never stop', async () => {
  const { topic, sender, handled, join, flow } = await traffic()
  const member = await join('a')
  await flow(200)
  const lost: string[] = []
  member.loop.on('revoked', ({ partitions, how }) =>
    lost.push(...partitions.map(({ partition }) => `${partition} ${how}`)),
  )
  member.loop.pause()
  sender.send(200)
  await sender.producer.flush()
  // The broker closes a channel whose deliveries wait too long for their acks.
  await rabbitmqctl('set_policy', 'hasty', `^${topic}:g:1$`, '{"consumer-timeout":1000}', '--apply-to', 'queues')
  await expect.poll(() => lost, WAIT).toContain('1 lost')
  await rabbitmqctl('clear_policy', 'hasty')
  member.loop.resume()
  await expect.poll(() => isComplete(sender, handled), WAIT).toBe(true)
  expectCompleteInOrder(sender, handled)
  expect(new Set(lost)).toEqual(new Set(['1 lost']))
  expect(member.errors[0]).toMatchObject({ code: 'TIMEOUT' })
  expect(member.loop.stats().reconnects).toBe(0)
})

test('the broker is killed under load, twice: nothing confirmed is lost, order holds, duplicates stay in their bound', async () => {
  const { sender, handled, join, flow } = await traffic()
  const members = [await join('a'), await join('b')]
  // A queue that was declared less than about a second before is lost with the broker (RabbitMQ 4.0.5).
  const ripe = Date.now() + 2_000
  await flow(1_000)
  await expect.poll(() => Date.now(), WAIT).toBeGreaterThan(ripe)
  for (const kill of [1, 2]) {
    await flow(500)
    sender.send(400)
    await expect.poll(() => sender.producer.stats().buffered, { interval: 0 }).toBeGreaterThan(0)
    await broker.kill()
    await broker.start()
    await expect.poll(() => members.map((member) => member.loop.stats().reconnects), WAIT).toEqual([kill, kill])
    await flow(1_000)
  }
  expect(sender.producer.stats().resent, 'the fault has hit').toBeGreaterThan(0)
  await expect.poll(() => isComplete(sender, handled), WAIT).toBe(true)
  const window = 1_000
  expect(expectCompleteInOrder(sender, handled)).toBeLessThanOrEqual(2 * (100 * PARTITIONS + window))
  expect(sender.failed).toEqual([])
}, 60_000)

test('a broker short of memory: sends wait, consumers go on, nothing is lost and no connection is given up', async () => {
  const { sender, handled, join, flow } = await traffic({ callTimeoutMs: 1_000, heartbeatSeconds: 2 })
  const member = await join('a')
  await flow(200)
  await sender.producer.flush()
  await rabbitmqctl('set_vm_memory_high_watermark', '0.0000001')
  onTestFinished(() => rabbitmqctl('set_vm_memory_high_watermark', '0.4'))
  sender.send(2_000)
  const blockedFor = Date.now() + 4_000
  await expect.poll(() => Date.now(), WAIT).toBeGreaterThan(blockedFor)
  expect(sender.unconfirmed, 'the fault has hit').toBeGreaterThan(500)
  await rabbitmqctl('set_vm_memory_high_watermark', '0.4')
  await expect.poll(() => isComplete(sender, handled), WAIT).toBe(true)
  expectCompleteInOrder(sender, handled)
  expect(sender.failed).toEqual([])
  expect(sender.producer.stats()).toMatchObject({ reconnects: 0, resent: 0 })
  expect(member.loop.stats().reconnects).toBe(0)
}, 60_000)

test('a broker that is frozen: noticed within the deadline, and everything goes on when it is back', async () => {
  const { sender, handled, join, flow } = await traffic({ callTimeoutMs: 1_500, heartbeatSeconds: 1 })
  const member = await join('a')
  await flow(200)
  broker.pause()
  onTestFinished(() => broker.resume())
  sender.send(300)
  await expect
    .poll(() => [sender.producer.stats().connected, member.loop.stats().connected], { timeout: 6_000 })
    .toEqual([false, false])
  broker.resume()
  await expect.poll(() => isComplete(sender, handled), WAIT).toBe(true)
  expectCompleteInOrder(sender, handled)
  expect(sender.failed).toEqual([])
}, 60_000)

test('a broker that does not read: no more is written than the socket takes, and all of it goes out when it reads again', async () => {
  const topic = uniqueName('faults')
  const transport = openTransport(broker.url, { maxUnconfirmed: 100_000 })
  onTestFinished(() => transport.close())
  const count = 4_000
  const producer = transport.producer<Uint8Array>(topic, {
    codec: 'bytes',
    maxBatchRecords: count,
    maxBatchBytes: 100_000_000,
    maxBufferedBytes: 100_000_000,
    sendTimeoutMs: 60_000,
  })
  const handled: number[] = []
  const loop = transport.consumer<Uint8Array>(topic, { group: 'g', codec: 'bytes' })
  loop.handle(({ value }) => void handled.push(value.length))
  void loop.run()
  await loop.init()
  await producer.init()
  broker.pause()
  onTestFinished(() => broker.resume())
  const sends = Array.from({ length: count }, () => producer.send(Buffer.alloc(10_000)))
  await expect.poll(() => written(transport), WAIT).toBeGreaterThan(0)
  await expect.poll(() => producer.stats().buffered, WAIT).toBe(count)
  expect(written(transport)).toBeLessThan(count / 2)
  broker.resume()
  await Promise.all(sends)
  await expect.poll(() => handled.length, WAIT).toBe(count)
  expect(producer.stats().resent).toBe(0)
}, 60_000)

/** Messages that amqplib was given and that are not confirmed. */
function written(transport: Transport): number {
  const { connection } = transport.native as {
    connection: { channels: readonly ({ channel: { unconfirmed?: readonly unknown[] } } | null)[] }
  }
  return connection.channels.reduce((sum, one) => sum + (one?.channel.unconfirmed?.length ?? 0), 0)
}
