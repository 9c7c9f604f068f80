import { type BrokerHandle, type RabbitmqCluster, startRabbitmqCluster } from '@streamswitch/testkit/brokers'
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

const WAIT = { timeout: 30_000, interval: 5 }
const PARTITIONS = 3
const PREFETCH = 100
const WINDOW = 1_000

let cluster: RabbitmqCluster

beforeAll(async () => {
  cluster = await startRabbitmqCluster(3)
}, 180_000)

afterAll(() => cluster?.remove())

/** The nodes' addresses as one URL, in this order. */
function seeds(nodes: readonly BrokerHandle[]): string {
  return `amqp://guest:guest@${nodes.map(({ ports }) => `127.0.0.1:${ports['amqp']}`).join(',')}`
}

/** A producer and two members that work, through these nodes. */
async function traffic(topic: string, url: string) {
  const transport = openTransport(url)
  onTestFinished(() => transport.close())
  const handled: Handled[] = []
  const producer = transport.producer<number>(topic, { partitions: PARTITIONS, sendTimeoutMs: 60_000 })
  const members = []
  for (const name of ['a', 'b']) {
    const settings = { partitions: PARTITIONS, prefetch: PREFETCH }
    const member = await startMember({ url, topic, group: 'g', name, handled, settings })
    onTestFinished(() => member.transport.close())
    members.push(member)
  }
  const sender = new Sender(producer)
  const flow = (count: number): Promise<void> => {
    const target = handled.length + count
    const goesOn = expect.poll(() => {
      if (sender.unconfirmed < 400) sender.send(100)
      return handled.length
    }, WAIT)
    return goesOn.toBeGreaterThan(target)
  }
  return { sender, handled, members, flow }
}

test('the node that everybody is connected to, and that leads the queues, is killed: another seed is used, nothing confirmed is lost, order holds', {
  timeout: 60_000,
}, async () => {
  const topic = uniqueName('cluster')
  const [first, ...others] = cluster.nodes
  const { sender, handled, members, flow } = await traffic(topic, seeds([first as BrokerHandle, ...others]))
  await flow(1_000)
  expect(await cluster.leaderOf(`${topic}:g:0`)).toBe(first)
  sender.send(400)
  await expect.poll(() => sender.producer.stats().buffered, { interval: 0 }).toBeGreaterThan(0)
  await first?.kill()
  await flow(1_000)
  expect(first?.running, 'without the dead node').toBe(false)
  expect(await cluster.leaderOf(`${topic}:g:0`)).not.toBe(first)
  expect(sender.producer.stats()).toMatchObject({ reconnects: 1 })
  expect(sender.producer.stats().resent, 'the fault has hit').toBeGreaterThan(0)
  await expect.poll(() => isComplete(sender, handled), WAIT).toBe(true)
  expect(expectCompleteInOrder(sender, handled)).toBeLessThanOrEqual(PREFETCH * PARTITIONS + WINDOW)
  expect(sender.failed).toEqual([])
  // One that got no partition may still be on its way back.
  await expect.poll(() => members.every(({ loop }) => loop.stats().reconnects > 0), WAIT).toBe(true)
  await first?.start()
})

test('the leader of the queues is killed, and nobody was connected to it: sends and deliveries go on from the next leader', {
  timeout: 60_000,
}, async () => {
  const topic = uniqueName('cluster')
  const [first, second, third] = cluster.nodes as [BrokerHandle, BrokerHandle, BrokerHandle]
  // Queues are led by the node where they were declared.
  const early = await startMember({
    url: seeds([third]),
    topic,
    group: 'g',
    name: 'early',
    handled: [],
    settings: { partitions: PARTITIONS, prefetch: PREFETCH },
  })
  await early.transport.close()
  const { sender, handled, members, flow } = await traffic(topic, seeds([first, second]))
  await flow(1_000)
  expect(await cluster.leaderOf(`${topic}:g:0`)).toBe(third)
  sender.send(400)
  await expect.poll(() => sender.producer.stats().buffered, { interval: 0 }).toBeGreaterThan(0)
  await third.kill()
  await flow(1_000)
  await expect.poll(() => isComplete(sender, handled), WAIT).toBe(true)
  expect(expectCompleteInOrder(sender, handled)).toBeLessThanOrEqual(PREFETCH * PARTITIONS + WINDOW)
  expect(sender.failed).toEqual([])
  expect(members.map((member) => member.loop.stats().connected)).toEqual([true, true])
  await third.start()
})

test('the node with the noted attempts is down: they count anew, and messages wait for nothing', {
  timeout: 60_000,
}, async () => {
  const topic = uniqueName('cluster')
  const [first, second] = cluster.nodes as [BrokerHandle, BrokerHandle]
  const handled: Handled[] = []
  let failing = true
  const member = await startMember({
    url: seeds([first, second]),
    topic,
    group: 'g',
    name: 'a',
    handled,
    handler: () => {
      if (failing) throw new Error('not yet')
    },
    settings: { retry: { attempts: 100, minDelayMs: 5, maxDelayMs: 50, factor: 2, when: () => true } },
  })
  onTestFinished(() => member.transport.close())
  const transport = openTransport(seeds([first, second]))
  onTestFinished(() => transport.close())
  const producer = transport.producer<number>(topic, { sendTimeoutMs: 60_000 })
  const ripe = Date.now() + 2_000
  await producer.send(1, { key: 'k' })
  // Classic queues stay where they were made.
  await expect.poll(() => queueNode(first, `${topic}:g:0:attempts`), WAIT).toBe('streamswitch1@localhost')
  await expect.poll(() => Date.now(), WAIT).toBeGreaterThan(ripe)
  await first.kill()
  failing = false
  await producer.send(2, { key: 'k' })
  await expect.poll(() => new Set(handled.map(({ number }) => number)).size, WAIT).toBe(2)
  expect(member.loop.stats()).toMatchObject({ reconnects: 1, connected: true })
})

async function queueNode(node: BrokerHandle, queue: string): Promise<string | undefined> {
  const response = await fetch(`${node.urls['management']}/api/queues/%2F/${encodeURIComponent(queue)}`, {
    headers: { authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}` },
  })
  return ((await response.json()) as { readonly node?: string }).node
}
