import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import type { ConsumerLoop, Transport } from '@streamswitch/core'
import { type BrokerHandle, startBroker } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openRedis, plainClient, unique, until } from './bench.js'

let broker: BrokerHandle

beforeAll(async () => {
  broker = await startBroker('redis')
})

afterAll(async () => {
  await broker.remove()
})

/** How long calls are counted, in seconds of the server's clock. */
const WINDOW_S = 1.5

/** Calls per second that an idle loop may make, at most. */
const perSecond = (loops: number, partitions: number): number => loops * (5 + 2 * partitions)

/** A command in the output of MONITOR: when it ran, who called it, its name. */
const MONITORED = /^\+([\d.]+) \[\d+ (\S+)\] "([^"]+)"/

/** What clients call by the server's own record; commands that scripts call in turn are not among them. */
async function callsPerSecond(): Promise<{ readonly rate: number; readonly names: Readonly<Record<string, number>> }> {
  const monitor = connect(broker.ports['redis'] as number, '127.0.0.1')
  onTestFinished(() => void monitor.destroy())
  const names: Record<string, number> = {}
  let [first, last, count] = [0, 0, 0]
  monitor.write('MONITOR\r\n')
  for await (const line of createInterface({ input: monitor })) {
    const [, time, source, name] = MONITORED.exec(line) ?? []
    if (time === undefined || name === undefined || source === 'lua') continue
    first ||= Number(time)
    last = Number(time)
    count += 1
    names[name] = (names[name] ?? 0) + 1
    if (last - first >= WINDOW_S) break
  }
  return { rate: count / (last - first), names }
}

/** A start, traffic or a hand-over may cause calls for a while, on a busy machine for longer. */
const SETTLE_MS = 15_000

async function expectIdle(loops: number, partitions: number): Promise<void> {
  const deadline = performance.now() + SETTLE_MS
  const most = perSecond(loops, partitions)
  let counted = await callsPerSecond()
  while (counted.rate >= most && performance.now() < deadline) counted = await callsPerSecond()
  expect(counted.rate, `calls per second, in all: ${JSON.stringify(counted.names)}`).toBeLessThan(most)
}

async function openLoop(
  transport: Transport,
  topic: string,
  options: { readonly group: string; readonly partitions?: number; readonly ordering?: 'key' | 'none' },
): Promise<{ readonly loop: ConsumerLoop; readonly seen: unknown[] }> {
  const loop = transport.consumer(topic, options)
  const seen: unknown[] = []
  void loop.handle((message) => void seen.push(message.value)).run()
  await loop.init()
  return { loop, seen }
}

async function sendAll(transport: Transport, topic: string, count: number): Promise<void> {
  const producer = transport.producer(topic)
  await Promise.all(Array.from({ length: count }, (_, number) => producer.send(number, { key: `k${number}` })))
  await producer.close()
}

const settled = async (loop: ConsumerLoop): Promise<boolean> => (await loop.lag()).every(({ lag }) => lag === 0)

describe('an idle loop', () => {
  test.each([
    ['key', 1],
    ['key', 8],
    ['key', 64],
    ['none', 64],
  ] as const)(
    'ordering %s, %i partitions: asks the server for next to nothing, before and after traffic',
    async (ordering, partitions) => {
      const [topic, group] = [unique('topic'), unique('group')]
      const transport = openRedis(broker.url)
      const { loop, seen } = await openLoop(transport, topic, { group, partitions, ordering })
      await expectIdle(1, partitions)
      await sendAll(transport, topic, 300)
      await until(async () => seen.length === 300 && (await settled(loop)))
      await expectIdle(1, partitions)
    },
  )

  test('paused with messages waiting, and resumed', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openRedis(broker.url)
    const { loop, seen } = await openLoop(transport, topic, { group, partitions: 8 })
    loop.pause()
    await sendAll(transport, topic, 300)
    await until(() => loop.stats().unsettled === 300)
    await expectIdle(1, 8)
    expect(seen).toEqual([])
    loop.resume()
    await until(async () => seen.length === 300 && (await settled(loop)))
    await expectIdle(1, 8)
  })

  test('two loops of one group, and the one that is left after a hand-over', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openRedis(broker.url)
    const first = await openLoop(transport, topic, { group, partitions: 8 })
    const second = await openLoop(transport, topic, { group, partitions: 8 })
    await until(() => first.loop.stats().partitions === 4 && second.loop.stats().partitions === 4)
    await sendAll(transport, topic, 300)
    await until(async () => first.seen.length + second.seen.length === 300 && (await settled(first.loop)))
    await expectIdle(2, 8)
    await second.loop.close()
    await until(() => first.loop.stats().partitions === 8)
    await expectIdle(1, 8)
  })

  test('two loops that share every partition, and two groups', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openRedis(broker.url)
    const loops = await Promise.all([
      openLoop(transport, topic, { group, partitions: 8, ordering: 'none' }),
      openLoop(transport, topic, { group, partitions: 8, ordering: 'none' }),
      openLoop(transport, topic, { group: unique('group'), partitions: 8 }),
    ])
    await sendAll(transport, topic, 300)
    await until(() => loops.reduce((sum, { seen }) => sum + seen.length, 0) === 600)
    for (const { loop } of loops) await until(() => settled(loop))
    await expectIdle(3, 8)
  })

  test('a stream that others began again at lower ids, and a group that they moved back, are noticed', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(broker.url)
    const transport = openRedis(broker.url)
    const { loop, seen } = await openLoop(transport, topic, { group })
    await sendAll(transport, topic, 3)
    await until(async () => seen.length === 3 && (await settled(loop)))
    await client.xgroup('SETID', topic, group, '0')
    await until(() => seen.length === 6)
    await client.multi().del(topic).xadd(topic, '1-1', 'payload', '"low"').exec()
    await until(() => seen.includes('low'))
  })
})
