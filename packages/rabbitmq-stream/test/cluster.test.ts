import { execFile } from 'node:child_process'
import { connect, createServer, type Socket } from 'node:net'
import { promisify } from 'node:util'
import type { Transport } from '@streamswitch/core'
import { type RabbitmqCluster, startRabbitmqCluster } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { firstHandlings, numbers, openStream, type Seen, seenOf, unique, until } from './support/bench.js'

const RECOVERY_MS = 60_000
const KEYS = Array.from({ length: 8 }, (_, index) => `key-${index}`)
const QUICK = { callTimeoutMs: 5_000 }

let cluster: RabbitmqCluster

beforeAll(async () => {
  cluster = await startRabbitmqCluster(3)
}, 180_000)

afterAll(() => cluster?.remove())

const url = (): string => cluster.urls['rabbitmq-stream']

describe('a cluster', () => {
  test('the leader of a partition is killed under load: sends go on at the new one, nothing confirmed is lost, each key in order', {
    timeout: RECOVERY_MS,
  }, async () => {
    const each = 600
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream(QUICK, url())
    const producer = transport.producer<number>(topic, { partitions: 3, maxBatchRecords: 20, sendTimeoutMs: 40_000 })
    await producer.init()
    const seen: Seen[] = []
    const loops = [0, 1].map(() => transport.consumer<number>(topic, { group, concurrency: 16 }))
    for (const loop of loops) loop.handle((message) => void seen.push(seenOf(message)))
    const runs = loops.map((loop) => loop.run())
    await Promise.all(loops.map((loop) => loop.init()))
    let confirmed = 0
    const feed = async (key: string): Promise<void> => {
      for (let number = 0; number < each; number += 50) {
        const part = numbers(50).map((one) => producer.send(number + one, { key }).then(() => (confirmed += 1)))
        await Promise.all(part)
      }
    }
    const sends = KEYS.map(feed)
    await until(() => confirmed > (each * KEYS.length) / 3)
    const leader = await cluster.leaderOf(`${topic}-1`)
    expect(producer.stats().buffered, 'sends are under way').toBeGreaterThan(0)
    await leader.kill()
    await Promise.all(sends)
    expect(confirmed).toBe(each * KEYS.length)
    expect(producer.stats().resent, 'records were sent again').toBeGreaterThan(0)
    expect(leader.running, 'without the dead node').toBe(false)
    await until(() => new Set(seen.map(({ key, value }) => `${key} ${value}`)).size === each * KEYS.length)
    for (const [key, values] of firstHandlings(seen)) expect(values, key).toEqual(numbers(each))
    await until(async () => (await cluster.leaderOf(`${topic}-1`)) !== leader)
    await Promise.all(loops.map((loop) => loop.close()))
    await Promise.all(runs)
    await leader.start()
  })

  test('under a publisherName, what was unconfirmed comes again under its ids: stored once, in order', {
    timeout: RECOVERY_MS,
  }, async () => {
    const total = 4_000
    const topic = unique('topic')
    const transport = openStream(QUICK, url())
    const producer = transport.producer<number>(topic, {
      maxBatchRecords: 20,
      sendTimeoutMs: 40_000,
      'rabbitmq-stream': { publisherName: 'orders' },
    })
    await producer.init()
    const leader = await cluster.leaderOf(topic)
    let confirmed = 0
    const sends = numbers(total).map((number) => producer.send(number).then(() => (confirmed += 1)))
    await until(() => confirmed > total / 4)
    expect(confirmed).toBeLessThan(total)
    await leader.kill()
    await Promise.all(sends)
    expect(producer.stats().resent, 'records were sent again').toBeGreaterThan(0)
    const seen: Seen[] = []
    const loop = transport.consumer<number>(topic, { group: unique('group'), concurrency: 1 })
    loop.handle((message) => void seen.push(seenOf(message)))
    const run = loop.run()
    await until(() => seen.length >= total)
    await loop.close()
    await run
    expect(seen.map(({ value }) => value)).toEqual(numbers(total))
    await leader.start()
  })

  test('behind a load balancer: nodes advertise what nobody can reach, and are reached by connecting until the right one answers', {
    timeout: RECOVERY_MS,
  }, async () => {
    await using balancer = await balance(cluster.nodes.map(({ ports }) => ports['stream'] ?? 0))
    await advertise((index) => `node-${index}.invalid`)
    try {
      const address = `rabbitmq-stream://guest:guest@127.0.0.1:${balancer.port}`
      const transport = openStream(QUICK, `${address}?loadBalancer=true`)
      const [topic, group] = [await spreadTopic(transport), unique('group')]
      const direct = openStream(QUICK, address).producer(topic, { partitions: 3, connectTimeoutMs: 1_000 })
      await expect(direct.init(), 'not without the option').rejects.toMatchObject({ code: 'UNAVAILABLE' })
      const producer = transport.producer<number>(topic, { partitions: 3 })
      await Promise.all(numbers(60).map((number) => producer.send(number, { key: `key-${number}` })))
      const seen: Seen[] = []
      const loop = transport.consumer<number>(topic, { group })
      loop.handle((message) => void seen.push(seenOf(message)))
      const run = loop.run()
      await until(() => seen.length === 60)
      expect(new Set(seen.map(({ value }) => value)).size).toBe(60)
      await loop.close()
      await run
      // What was opened on the way to the right nodes is closed.
      await until(() => balancer.open() <= 3)
    } finally {
      await advertise(() => '127.0.0.1')
    }
  })
})

/** A topic with three partitions, of which the broker has put the leaders on several nodes: it chooses them as it likes. */
async function spreadTopic(transport: Transport): Promise<string> {
  for (;;) {
    const topic = unique('topic')
    await transport.admin.provision(transport.topicSpec(topic, { partitions: 3 }))
    const leaders = await Promise.all([0, 1, 2].map((partition) => cluster.leaderOf(`${topic}-${partition}`)))
    if (new Set(leaders).size > 1) return topic
  }
}

/** Has each node tell clients that it is at `host`. */
async function advertise(host: (index: number) => string): Promise<void> {
  await Promise.all(
    cluster.nodes.map((node, index) =>
      promisify(execFile)(node.tool('rabbitmqctl'), [
        'eval',
        `application:set_env(rabbitmq_stream, advertised_host, <<"${host(index)}">>).`,
      ]),
    ),
  )
}

/** Hands each connection on to the next of the ports in turn. */
async function balance(
  ports: readonly number[],
): Promise<AsyncDisposable & { readonly port: number; readonly open: () => number }> {
  let turn = 0
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    turn += 1
    const onwards = connect(ports[turn % ports.length] ?? 0, '127.0.0.1')
    sockets.add(socket)
    socket.pipe(onwards).pipe(socket)
    for (const [end, other] of [
      [socket, onwards],
      [onwards, socket],
    ] as const) {
      end.on('error', () => {})
      end.on('close', () => other.destroy())
    }
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    open: () => sockets.size,
    [Symbol.asyncDispose]: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
