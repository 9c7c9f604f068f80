import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrokerHandle, brokerTool, findFreePort, startBroker } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openRedis, plainClient, unique, until } from './bench.js'

let broker: BrokerHandle
let node: BrokerHandle

beforeAll(async () => {
  ;[broker, node] = await Promise.all([
    startBroker('redis'),
    startBroker('redis', { config: ['cluster-enabled yes', 'cluster-announce-ip 127.0.0.1'] }),
  ])
})

afterAll(async () => {
  await Promise.all([broker?.remove(), node?.remove()])
})

/** Starts a Sentinel that watches the broker, for the length of a test. */
async function startSentinel(): Promise<number> {
  const [port, folder] = [await findFreePort(), await mkdtemp(join(tmpdir(), 'sentinel-'))]
  const file = join(folder, 'sentinel.conf')
  await writeFile(file, `port ${port}\nbind 127.0.0.1\nsentinel monitor orders 127.0.0.1 ${broker.ports['redis']} 1\n`)
  const child = spawn(await brokerTool('redis-server'), [file, '--sentinel'], { stdio: 'ignore' })
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await rm(folder, { recursive: true })
  })
  const client = plainClient(`redis://127.0.0.1:${port}`)
  await until(() =>
    client.ping().then(
      () => true,
      () => false,
    ),
  )
  return port
}

/** What a producer, a loop and a call of admin come to; each says at once what is wrong, and none of them tries again. */
async function failures(url: string): Promise<unknown[]> {
  const transport = openRedis(url)
  const results = await Promise.allSettled([
    transport.producer(unique('topic')).init(),
    transport.consumer(unique('topic'), { group: 'g' }).init(),
    transport.admin.topics(),
  ])
  expect(transport.lines.filter((line) => line.includes('trying again'))).toEqual([])
  return results.map((result) => (result.status === 'rejected' ? result.reason : undefined))
}

const unsupported = (...texts: readonly string[]) =>
  Array.from({ length: 3 }, () =>
    expect.objectContaining({
      code: 'UNSUPPORTED',
      retryable: false,
      message: expect.stringMatching(new RegExp(texts.join('.*'))),
    }),
  )

describe("a Sentinel's address", () => {
  test.each(['', '/3'])('is refused at once and named, with path %j', async (path) => {
    const port = await startSentinel()
    expect(await failures(`redis://127.0.0.1:${port}${path}`)).toEqual(
      unsupported(`127.0.0.1:${port} is a Redis Sentinel`, 'primary'),
    )
  })

  test('also among several hosts', async () => {
    const port = await startSentinel()
    expect(await failures(`redis://127.0.0.1:${port},127.0.0.1:${broker.ports['redis']}`)).toEqual(
      unsupported('is a Redis Sentinel'),
    )
  })
})

describe('a node of a Redis Cluster', () => {
  test('is refused at once while slots are elsewhere, also within a list, with a database, and for a user without rights', async () => {
    const client = plainClient(node.url)
    await client.acl('SETUSER', 'app', 'on', '>secret', '~*', 'nocommands', '+auth', '+eval', '+evalsha', '+xadd')
    for (const url of [
      node.url,
      `${node.url}/2`,
      `redis://127.0.0.1:${await findFreePort()},127.0.0.1:${node.ports['redis']}`,
      node.url.replace('redis://', 'redis://app:secret@'),
    ])
      expect(await failures(url)).toEqual(unsupported('is a node of a Redis Cluster', "mode is 'cluster'"))
    await client.call('CLUSTER', 'ADDSLOTSRANGE', 0, 5460)
    expect(await failures(node.url)).toEqual(unsupported('holds 5461 of 16384 slots'))
  })

  test('with all slots it is a server like others, for topics of one partition', async () => {
    const client = plainClient(node.url)
    const held = String(await client.call('CLUSTER', 'NODES')).includes('0-5460')
    await client.call('CLUSTER', 'ADDSLOTSRANGE', held ? 5461 : 0, 16_383)
    await until(async () => String(await client.call('CLUSTER', 'INFO')).includes('cluster_state:ok'))
    const [topic, transport] = [unique('topic'), openRedis(node.url)]
    const seen: unknown[] = []
    const loop = transport.consumer(topic, { group: 'g' })
    void loop.handle((message) => void seen.push(message.value)).run()
    await loop.init()
    await transport.producer(topic).send('one')
    await until(() => seen.length === 1)
  })
})

describe('what the server refuses a connection for', () => {
  test('maxclients: its own words, and tried again until there is room', async () => {
    const client = plainClient(broker.url)
    await client.ping()
    await client.config('SET', 'maxclients', '1')
    try {
      const transport = openRedis(broker.url)
      await expect(transport.producer(unique('topic'), { connectTimeoutMs: 500 }).init()).rejects.toMatchObject({
        message: expect.stringContaining('max number of clients reached'),
      })
      await expect(transport.admin.topics()).rejects.toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        retryable: true,
        message: expect.stringContaining('max number of clients reached'),
      })
      const producer = transport.producer(unique('topic'))
      const opened = producer.init()
      await until(() => transport.lines.filter((line) => line.includes('max number of clients')).length > 1)
      await client.config('SET', 'maxclients', '1000')
      await opened
    } finally {
      await client.config('SET', 'maxclients', '1000')
    }
  })

  test('a database that the server does not have: INVALID_ARGUMENT, and nothing is written elsewhere', async () => {
    expect(await failures(`${broker.url}/9999`)).toEqual(
      Array.from({ length: 3 }, () => expect.objectContaining({ code: 'INVALID_ARGUMENT', retryable: false })),
    )
    const [topic, client] = [unique('topic'), plainClient(broker.url)]
    await openRedis(`${broker.url}/3`).producer(topic).send(1)
    expect(await client.exists(topic)).toBe(0)
    await client.select(3)
    expect(await client.exists(topic)).toBe(1)
  })

  test('connections have their names in the list of clients', async () => {
    const transport = openRedis(broker.url, { clientId: 'billing service' })
    await transport.consumer(unique('topic'), { group: 'g' }).init()
    const list = String(await plainClient(broker.url).client('LIST'))
    for (const name of ['billing_service:consumer', 'billing_service:waiter']) expect(list).toContain(`name=${name} `)
  })
})
