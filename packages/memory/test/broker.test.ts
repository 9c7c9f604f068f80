import { Transport } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'
import memory, { MemoryConsumerLoop, MemoryProducer } from '../src/index.js'

let brokers = 0

/** A transport on a broker of its own; `again` opens another one on the same. */
function open(query = '', options: Record<string, unknown> = {}) {
  brokers += 1
  const url = `memory://broker-${brokers}${query}`
  const again = (): Transport => new Transport(memory, url, { environment: {}, options })
  return { transport: again(), again }
}

/** The next `count` values that a group gets. */
async function receive(transport: Transport, topic: string, count: number, settings: object = {}): Promise<unknown[]> {
  await using loop = transport.consumer(topic, { group: 'test', ...settings })
  const values: unknown[] = []
  for await (const message of loop) {
    values.push(message.value)
    if (values.length === count) {
      await message.ack()
      break
    }
  }
  return values
}

describe('the memory broker', () => {
  it('is shared by name within the process, and by nothing else', async () => {
    const { transport, again } = open()
    await transport.producer('orders').send('a')
    expect(await receive(again(), 'orders', 1)).toEqual(['a'])
    await using other = open().transport
    expect(await other.admin.topics()).toEqual([])
  })

  it('has the named classes, which open their own transport from the environment', async () => {
    await using producer = new MemoryProducer<string>('named')
    await using loop = new MemoryConsumerLoop<string>('named', { group: 'g' })
    await producer.send('x')
    for await (const message of loop) {
      expect(message.value).toBe('x')
      break
    }
  })

  it('copies what is sent: changing the buffer afterwards changes nothing', async () => {
    const { transport } = open()
    const bytes = Buffer.from('before')
    await transport.producer('orders', { codec: 'bytes' }).send(bytes)
    bytes.write('AFTER!')
    expect(await receive(transport, 'orders', 1, { codec: 'bytes' })).toEqual([Buffer.from('before')])
  })

  it('starts a new group where from says', async () => {
    const { transport } = open()
    const producer = transport.producer('orders')
    for (let index = 0; index < 6; index += 1) await producer.send(index, { timestamp: 1_000 + index })
    expect(await receive(transport, 'orders', 6, { group: 'all' })).toEqual([0, 1, 2, 3, 4, 5])
    expect(await receive(transport, 'orders', 2, { group: 'offset', from: { offset: 4 } })).toEqual([4, 5])
    expect(await receive(transport, 'orders', 3, { group: 'time', from: { timestamp: 1_003 } })).toEqual([3, 4, 5])
    await using late = transport.consumer('orders', { group: 'late', from: 'latest' })
    const values: unknown[] = []
    late.handle((message) => void values.push(message.value))
    void late.run()
    await late.init()
    await producer.send('new')
    await expect.poll(() => values).toEqual(['new'])
  })

  it('seeks back and forth, and reports lag', async () => {
    const { transport } = open()
    const producer = transport.producer('orders')
    await producer.sendBatch([0, 1, 2, 3])
    const values: unknown[] = []
    await using loop = transport.consumer('orders', { group: 'g' })
    loop.handle((message) => void values.push(message.value))
    await loop.init()
    expect(await loop.lag()).toEqual([{ topic: 'orders', partition: 0, lag: 4 }])
    void loop.run()
    await expect.poll(async () => (await loop.lag())[0]?.lag).toBe(0)
    await loop.seek({ offset: '2' })
    await expect.poll(() => values).toEqual([0, 1, 2, 3, 2, 3])
    await loop.seek('latest')
    await loop.seek('earliest', { partition: 0 })
    await expect.poll(() => values.length).toBe(10)
    await expect(loop.seek('earliest', { partition: 7 })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('keeps what a group has not acked, whatever the retention says', async () => {
    const { transport } = open()
    const producer = transport.producer('orders', { retention: { maxMessages: 2 } })
    await using slow = transport.consumer('orders', { group: 'slow' })
    await slow.init()
    await producer.sendBatch([0, 1, 2, 3])
    expect((await slow.lag())[0]?.lag).toBe(4)
    expect(await receive(transport, 'orders', 4, { group: 'slow-too' })).toEqual([0, 1, 2, 3])
  })

  it('drops acked history beyond the retention', async () => {
    const { transport } = open()
    const producer = transport.producer('orders', { retention: { maxMessages: 2 } })
    await producer.sendBatch([0, 1, 2, 3])
    expect(await receive(transport, 'orders', 2)).toEqual([2, 3])
  })

  it('makes senders wait when a topic is full of unacked messages, and goes on when there is room', async () => {
    const { transport } = open('?maxBytes=4096')
    const producer = transport.producer('orders', { codec: 'bytes', sendTimeoutMs: 150 })
    const loop = transport.consumer('orders', { group: 'g', codec: 'bytes' })
    await loop.init()
    for (let index = 0; index < 4; index += 1) await producer.send(Buffer.alloc(1_000))
    await expect(producer.send(Buffer.alloc(1_000))).rejects.toMatchObject({ code: 'TIMEOUT' })
    const waiting = transport.producer('orders', { codec: 'bytes' }).send(Buffer.alloc(1_000))
    loop.handle(() => {})
    void loop.run()
    await waiting
    await expect.poll(() => loop.stats().handled).toBe(5)
  })

  it('drops resends of a named publisher, which only one live producer may be', async () => {
    const { transport, again } = open()
    const settings = { memory: { publisherName: 'till-1' } }
    const producer = transport.producer('orders', settings)
    for (const sequence of [1n, 2n, 2n, 1n, 3n]) await producer.send(Number(sequence), { sequence })
    await expect(again().producer('orders', settings).init()).rejects.toMatchObject({ code: 'CONFLICT' })
    await producer.close()
    await again().producer('orders', settings).send(3, { sequence: 3n })
    await transport.producer('orders').send('end')
    expect(await receive(transport, 'orders', 4)).toEqual([1, 2, 3, 'end'])
  })

  it('refuses another partition count, a missing topic where it may not make one, and mixed ordering', async () => {
    const { transport, again } = open('', {})
    await transport.producer('orders', { partitions: 3 }).init()
    await expect(again().producer('orders', { partitions: 4 }).init()).rejects.toMatchObject({ code: 'CONFLICT' })
    await expect(again().producer('orders').init()).resolves.toBeUndefined()
    const strict = open('?provision=verify').transport
    await expect(strict.consumer('orders', { group: 'g' }).init()).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await transport.consumer('orders', { group: 'g' }).init()
    await expect(transport.consumer('orders', { group: 'g', ordering: 'none' }).init()).rejects.toMatchObject({
      code: 'CONFLICT',
    })
  })

  it('lists and deletes topics below its prefix', async () => {
    const { transport, again } = open('', {})
    const prefixed = new Transport(memory, again().url, { environment: {}, options: { prefix: 'shop.' } })
    await prefixed.producer('orders', { partitions: 2 }).init()
    await transport.producer('other').init()
    expect(await prefixed.admin.topics()).toEqual([{ topic: 'orders', partitions: 2 }])
    expect((await transport.admin.topics()).map((one) => one.topic)).toEqual(['shop.orders', 'other'])
    await prefixed.admin.deleteTopic(prefixed.topicSpec('orders'))
    await prefixed.admin.deleteTopic(prefixed.topicSpec('orders'))
    expect(await prefixed.admin.topics()).toEqual([])
    await expect(prefixed.admin.lag(prefixed.topicSpec('orders'), 'shop.g')).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
  })
})
