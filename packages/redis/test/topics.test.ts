import { describe, expect, test } from 'vitest'
import { openRedis, plainClient, unique, until } from './bench.js'
import { brokerUrl } from './broker-url.js'
import { DriverMember } from './driver-bench.js'
import { redisCli } from './redis-cli.js'

describe('topics on the server', () => {
  test('the wire: fields are as documented', async () => {
    const topic = unique('topic')
    const client = plainClient(brokerUrl)
    const producer = openRedis(brokerUrl).producer(topic)
    await producer.send({ a: 1 }, { key: 'k', id: 'id-1', timestamp: 1_700_000_000_000 })
    await producer.send('plain', { id: 'id-2', timestamp: 5, headers: { trace: 'é' } })
    await producer.send(undefined, { key: 'k', id: 'id-3', timestamp: 6 })
    const fields = (await client.xrange(topic, '-', '+')).map(([, all]) => all)
    expect(fields).toEqual([
      ['payload', '{"a":1}', 'key', 'k', 'id', 'id-1', 'timestamp', '1700000000000'],
      ['payload', '"plain"', 'id', 'id-2', 'timestamp', '5', 'h.trace', 'é'],
      ['streamswitch-tombstone', '1', 'key', 'k', 'id', 'id-3', 'timestamp', '6'],
    ])
  })

  test('entries of others: without a payload field, the JSON of all fields; no field of theirs is taken for ours', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const loop = openRedis(brokerUrl).consumer(topic, { group })
    const seen: [unknown, string | undefined, string, number][] = []
    loop.handle((message) => void seen.push([message.value, message.key, message.id, message.timestamp]))
    void loop.run()
    await loop.init()
    const id = await redisCli(brokerUrl, ['XADD', topic, '1700000000000-7', 'id', '42', 'key', 'x', 'name', 'é'])
    await until(() => seen.length === 1)
    expect(seen).toEqual([[{ id: '42', key: 'x', name: 'é' }, undefined, `${topic}/0/${id}`, 1_700_000_000_000]])
  })

  test('another partition count is CONFLICT, a missing topic NOT_FOUND, a newer format UNSUPPORTED, a key of another type CONFLICT', async () => {
    const topic = unique('topic')
    const client = plainClient(brokerUrl)
    const transport = openRedis(brokerUrl)
    await expect(openRedis(brokerUrl, { provision: 'verify' }).producer(topic).init()).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
    await transport.producer(topic, { partitions: 4 }).init()
    await expect(transport.producer(topic, { partitions: 3 }).init()).rejects.toMatchObject({ code: 'CONFLICT' })
    await expect(transport.consumer(topic, { group: 'g', partitions: 3 }).init()).rejects.toMatchObject({
      code: 'CONFLICT',
    })
    const receipt = await transport.producer(topic).send(1, { partition: 3 })
    expect(receipt.partition).toBe(3)
    await client.hset(`ss:{${topic}}:meta`, 'v', '2')
    await expect(transport.producer(topic).init()).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    const taken = unique('topic')
    await client.set(taken, 'a text')
    await expect(transport.producer(taken).init()).rejects.toMatchObject({ code: 'CONFLICT' })
    await expect(transport.admin.deleteTopic(transport.topicSpec(taken))).rejects.toMatchObject({ code: 'CONFLICT' })
    expect(await client.get(taken)).toBe('a text')
    const plain = unique('topic')
    await client.xadd(plain, '*', 'payload', '1')
    await expect(transport.producer(plain, { partitions: 2 }).init()).rejects.toMatchObject({ code: 'CONFLICT' })
  })

  test('a lease of a newer format is refused', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    await plainClient(brokerUrl).hset(`ss:{${topic}}:lease:${group}`, 'v', '2')
    await expect(openRedis(brokerUrl).consumer(topic, { group }).init()).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })

  test('deleting a topic leaves nothing behind', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    const transport = openRedis(brokerUrl)
    const loop = transport.consumer(topic, { group, partitions: 2 })
    await loop.init()
    await transport.producer(topic).send(1)
    await loop.close()
    await transport.admin.deleteTopic(transport.topicSpec(topic))
    expect(await client.keys(`*${topic}*`)).toEqual([])
  })

  test('retention drops what all groups have acked and nothing else', async () => {
    const [topic, group, slow] = [unique('topic'), unique('group'), unique('slow')]
    const client = plainClient(brokerUrl)
    const transport = openRedis(brokerUrl, { heartbeatMs: 100, leaseMs: 600, retentionIntervalMs: 100 })
    const producer = transport.producer<number>(topic)
    await producer.init()
    await client.xgroup('CREATE', topic, slow, '0', 'MKSTREAM')
    for (let number = 0; number < 100; number += 1) void producer.send(number)
    await producer.flush()
    const slowRead = (await client.xreadgroup('GROUP', slow, 'somebody', 'COUNT', 60, 'STREAMS', topic, '>')) as [
      string,
      [string, string[]][],
    ][]
    const ids = slowRead[0]?.[1].map(([id]) => id) ?? []
    await client.xack(topic, slow, ...ids.filter((_id, index) => index !== 30))
    const handled: unknown[] = []
    const loop = transport.consumer(topic, { group, retention: { maxMessages: 10 } })
    void loop.handle(() => handled.push(1)).run()
    await until(async () => handled.length === 100 && (await client.xlen(topic)) < 100)
    expect(await client.xlen(topic), 'the 31st of the slow group is pending').toBe(70)
    await client.xack(topic, slow, ids[30] as string)
    await until(async () => (await client.xlen(topic)) < 70)
    expect(await client.xlen(topic), 'the slow group has 40 to read').toBe(40)
    await client.xgroup('DESTROY', topic, slow)
    await until(async () => (await client.xlen(topic)) === 10)
  })

  test('lag is exact at the beginning, in the middle and after deletions', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    const transport = openRedis(brokerUrl)
    const spec = transport.topicSpec(topic)
    const lag = async (): Promise<number | undefined> => (await transport.admin.lag(spec, group))[0]?.lag
    const ids: string[] = []
    for (let number = 0; number < 10; number += 1) ids.push(String(await client.xadd(topic, '*', 'payload', '1')))
    await expect(lag()).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await client.xgroup('CREATE', topic, group, '0')
    expect(await lag()).toBe(10)
    await client.xreadgroup('GROUP', group, 'c', 'COUNT', 4, 'STREAMS', topic, '>')
    expect(await lag(), 'pending ones are not finished').toBe(10)
    await client.xack(topic, group, ...ids.slice(0, 3))
    expect(await lag()).toBe(7)
    await client.xdel(topic, ids[6] as string)
    expect(await lag(), 'one of those to come is gone').toBe(6)
    await client.xgroup('SETID', topic, group, ids[7] as string)
    expect(await lag(), 'moved: two to come, one pending').toBe(3)
  })

  test('publisherName: what is stored under a sequence is not stored again, by whichever producer; without a name a sequence is refused', async () => {
    const topic = unique('topic')
    const client = plainClient(brokerUrl)
    const first = openRedis(brokerUrl).producer(topic, { redis: { publisherName: 'billing' } })
    for (let number = 1; number <= 5; number += 1) await first.send(number, { sequence: BigInt(number) })
    await first.close()
    const second = openRedis(brokerUrl).producer(topic, { redis: { publisherName: 'billing' } })
    await Promise.all([4, 5, 6, 7].map((number) => second.send(number, { sequence: BigInt(number) })))
    await second.send('without')
    expect((await client.xrange(topic, '-', '+')).map(([, fields]) => fields[1])).toEqual([
      '1',
      '2',
      '3',
      '4',
      '5',
      '6',
      '7',
      '"without"',
    ])
    const nameless = openRedis(brokerUrl).producer(topic)
    const sends = [nameless.send('bad', { sequence: 1n }), nameless.send('good')]
    await expect(sends[0]).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await sends[1]
  })

  test('durability: fsync and replicas are waited for; too few replicas are told', async () => {
    const topic = unique('topic')
    await openRedis(brokerUrl, { durability: 'fsync' }).producer(topic).send(1)
    const transport = openRedis(brokerUrl, { durability: 'replicas:1', durabilityTimeoutMs: 20 })
    await expect(transport.producer(topic).send(2, { timeoutMs: 400 })).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(transport.lines.join('\n')).toContain('0 of 1 replicas had it')
    expect(await plainClient(brokerUrl).xlen(topic), 'repeated and never stored twice').toBe(2)
  })

  test("'from' beyond the end is reported and starts with the next message", async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    await client.xadd(topic, '*', 'payload', '1')
    const member = await DriverMember.open(brokerUrl, topic, group, {}, { from: { offset: '99999999999999-0' } })
    expect(member.outside).toEqual([expect.objectContaining({ partition: 0, offset: '99999999999999-0' })])
    await client.xadd(topic, '*', 'payload', '2', 'id', 'next')
    await until(() => member.delivered.length === 1)
    expect(member.ids).toEqual(['next'])
  })
})

describe('options', () => {
  test.each([
    ['redis://a/orders', 'INVALID_ARGUMENT'],
    ['redis://a?durability=disk', 'INVALID_ARGUMENT'],
    ['redis://a?leaseMs=1000&heartbeatMs=900', 'INVALID_ARGUMENT'],
  ])('%s is %s before any I/O', (url, code) => {
    expect(() => openRedis(url)).toThrowError(expect.objectContaining({ code }))
  })
})
