import { TcpProxy } from '@streamswitch/testkit/faults'
import { connect } from 'amqplib'
import { expect, onTestFinished, test } from 'vitest'
import { brokerUrl } from './support/broker.js'
import { callApi } from './support/management-api.js'
import { openTransport, uniqueName } from './support/member.js'

const WAIT = { timeout: 40_000, interval: 20 }
const LONG = 90_000

async function createTopic(topic: string, partitions = 2): Promise<void> {
  const transport = openTransport(brokerUrl)
  const loop = transport.consumer(topic, { group: 'g', partitions })
  await loop.init()
  await transport.close()
}

function opened(provision: 'create' | 'verify' | 'none', clientId = uniqueName('client')) {
  const transport = openTransport(brokerUrl, { provision, clientId })
  onTestFinished(() => transport.close())
  return transport
}

test.each(['none', 'verify'] as const)(
  "provision: '%s': one topic of a list is deleted: it is reported, the others go on, also after a reconnect, and it is taken up again when it is back",
  async (provision) => {
    const [a, b] = [uniqueName('list-a'), uniqueName('list-b')]
    await createTopic(a)
    await createTopic(b)
    const creating = opened('create')
    onTestFinished(async () => {
      for (const topic of [a, b]) await creating.admin.deleteTopic(creating.topicSpec(topic))
    })
    const handled: string[] = []
    const errors: { readonly code: string; readonly topic: string | undefined; readonly message: string }[] = []
    const clientId = uniqueName('client')
    const transport = opened(provision, clientId)
    const loop = transport.consumer<string>([a, b], { group: 'g', probeIntervalMs: 300 })
    loop.handle(({ value }) => void handled.push(value))
    loop.on('error', (error) => errors.push(error))
    void loop.run()
    await loop.init()
    const send = async (topic: string, value: string): Promise<void> => {
      const producer = creating.producer<string>(topic)
      await producer.send(value)
      // One that stays would make the deleted topic again, with its own number of partitions.
      await producer.close()
    }
    await send(a, 'a1')
    await send(b, 'b1')
    await expect.poll(() => [...handled].sort(), WAIT).toEqual(['a1', 'b1'])

    await creating.admin.deleteTopic(creating.topicSpec(a))
    await expect
      .poll(() => errors, WAIT)
      .toContainEqual(expect.objectContaining({ code: 'NOT_FOUND', message: expect.stringContaining(`topic '${a}'`) }))
    await send(b, 'b2')
    await expect.poll(() => handled, WAIT).toContain('b2')

    // The connection is lost: the topic that remains is joined again.
    const before = loop.stats().reconnects
    await expect
      .poll(async () => {
        // The API lists a connection some seconds after it was opened.
        const connections = await callApi<{ name: string; user_provided_name?: string }[]>('GET', 'connections')
        for (const { name, user_provided_name: given } of connections)
          if (loop.stats().reconnects === before && given?.startsWith(clientId) === true)
            await callApi('DELETE', `connections/${encodeURIComponent(name)}`)
        return loop.stats().reconnects
      }, WAIT)
      .toBeGreaterThan(before)
    await send(b, 'b3')
    await expect.poll(() => handled, WAIT).toContain('b3')

    await createTopic(a, 3)
    await expect.poll(() => loop.stats().partitions, WAIT).toBe(5)
    await send(a, 'a2')
    await expect.poll(() => handled, WAIT).toContain('a2')
  },
  LONG,
)

test(
  'one queue of a group is deleted: its partition is taken up again when the queue is back, and the loop closes in good order',
  async () => {
    const [a, b] = [uniqueName('list-a'), uniqueName('list-b')]
    await createTopic(a)
    await createTopic(b, 1)
    const creating = opened('create')
    onTestFinished(async () => {
      for (const topic of [a, b]) await creating.admin.deleteTopic(creating.topicSpec(topic))
    })
    const handled = new Set<string>()
    const errors: { readonly code: string; readonly message: string }[] = []
    const transport = opened('none')
    const loop = transport.consumer<string>([a, b], { group: 'g', probeIntervalMs: 300 })
    loop.handle(({ key }) => void handled.add(key ?? ''))
    loop.on('error', (error) => errors.push(error))
    const running = loop.run()
    await loop.init()
    await callApi('DELETE', `queues/%2F/${encodeURIComponent(`${a}:g:1`)}`)
    await expect.poll(() => errors, WAIT).toContainEqual(expect.objectContaining({ code: 'NOT_FOUND' }))
    await createTopic(a)
    // Some of the keys are of the partition whose queue was away.
    const keys = Array.from({ length: 8 }, (_, index) => `key-${index}`)
    const producer = creating.producer<string>(a)
    for (const key of keys) await producer.send('value', { key })
    await expect.poll(() => [...handled].sort(), WAIT).toEqual(keys)
    await loop.close()
    await running
  },
  LONG,
)

test(
  "provision: 'create': a deleted topic of a list is created again",
  async () => {
    const [a, b] = [uniqueName('list-a'), uniqueName('list-b')]
    const transport = opened('create')
    onTestFinished(async () => {
      for (const topic of [a, b]) await transport.admin.deleteTopic(transport.topicSpec(topic))
    })
    const handled: string[] = []
    const loop = transport.consumer<string>([a, b], { group: 'g', probeIntervalMs: 300 })
    loop.handle(({ value }) => void handled.push(value))
    void loop.run()
    await loop.init()
    const other = opened('create')
    await other.admin.deleteTopic(other.topicSpec(a))
    await expect
      .poll(async () => {
        await other
          .producer<string>(a)
          .send('a1')
          .catch(() => {})
        await other.producer<string>(b).send('b1')
        return [...new Set(handled)].sort()
      }, WAIT)
      .toEqual(['a1', 'b1'])
  },
  LONG,
)

test('a topic of a list that is missing at the start is an error', async () => {
  const b = uniqueName('list-b')
  await createTopic(b)
  const creating = opened('create')
  onTestFinished(() => creating.admin.deleteTopic(creating.topicSpec(b)))
  const loop = opened('none').consumer([uniqueName('absent'), b], { group: 'g' })
  await expect(loop.init()).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test(
  'an admin call that finds a topic half created asks again, and answers once it is whole',
  async () => {
    const topic = uniqueName('half')
    const connection = await connect(brokerUrl)
    const channel = await connection.createChannel()
    const stream = `${topic}:partitions`
    onTestFinished(async () => {
      await channel.deleteExchange(topic)
      await channel.deleteQueue(stream)
      await connection.close()
    })
    await channel.assertQueue(stream, { durable: true, arguments: { 'x-queue-type': 'stream' } })
    await channel.assertExchange(topic, 'direct', { durable: true, alternateExchange: `${topic}:others` })
    const { hostname, port } = new URL(brokerUrl)
    const proxy = await TcpProxy.start({ host: hostname, port: Number(port || 5672) })
    const url = new URL(brokerUrl)
    url.port = String(proxy.port)
    const transport = openTransport(url.href, { provision: 'verify' })
    onTestFinished(async () => {
      await transport.close()
      await proxy.close()
    })
    const provisioned = transport.admin.provision(transport.topicSpec(topic))
    await expect.poll(() => proxy.accepted, WAIT).toBe(2)
    channel.sendToQueue(stream, Buffer.from('{"format":1,"partitions":3}'))
    expect(await provisioned).toEqual({ topic, partitions: 3 })
  },
  LONG,
)
