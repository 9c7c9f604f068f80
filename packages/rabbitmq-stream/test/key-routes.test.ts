import { describe, expect, test } from 'vitest'
import { openStream, unique, until } from './support/bench.js'
import { foreignClient, publishToExchange } from './support/foreign.js'

const REGIONS = { 'rabbitmq-stream': { bindingKeys: ['amer', 'emea', 'apac'] } }

describe('a super stream that is routed by key', () => {
  test('each message goes to the stream that is bound to its key, ours and those of others', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream()
    const seen: [string, number, string | undefined][] = []
    const loop = transport.consumer<string>(topic, { group, ...REGIONS })
    loop.handle((message) => void seen.push([message.value, message.partition ?? -1, message.key]))
    const run = loop.run()
    await loop.init()
    const producer = transport.producer<string>(topic, REGIONS)
    const receipts = await Promise.all(
      ['amer', 'emea', 'apac', 'emea'].map((key) => producer.send(`to ${key}`, { key })),
    )
    expect(receipts.map(({ partition }) => partition)).toEqual([0, 1, 2, 1])
    const bodies = (await foreignClient().read(`${topic}-emea`, 2)).map(({ body }) => body.toString())
    expect(bodies).toEqual(['"to emea"', '"to emea"'])
    await publishToExchange(topic, 'apac', Buffer.from('"from elsewhere"'))
    await until(() => seen.length === 5)
    expect(seen.sort()).toEqual([
      ['from elsewhere', 2, undefined],
      ['to amer', 0, 'amer'],
      ['to apac', 2, 'apac'],
      ['to emea', 1, 'emea'],
      ['to emea', 1, 'emea'],
    ])
    await loop.close()
    await run
    await transport.admin.deleteTopic(transport.topicSpec(topic))
  })

  test('a key without a stream is NOT_FOUND, by itself; an explicit partition and no key need none', async () => {
    const topic = unique('topic')
    const transport = openStream()
    const producer = transport.producer<string>(topic, REGIONS)
    const sends = [producer.send('lost', { key: 'moon' }), producer.send('kept', { key: 'amer' })]
    await expect(sends[0]).rejects.toMatchObject({ code: 'NOT_FOUND', message: expect.stringContaining("'moon'") })
    await sends[1]
    expect(await producer.send('placed', { key: 'moon', partition: 2 })).toMatchObject({ partition: 2 })
    await producer.send('anywhere')
    await transport.admin.deleteTopic(transport.topicSpec(topic))
  })

  test('a topic that is bound otherwise is CONFLICT', async () => {
    const topic = unique('topic')
    const transport = openStream()
    await transport.producer(topic, { partitions: 3 }).init()
    await expect(transport.producer(topic, REGIONS).init()).rejects.toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining("'amer'"),
    })
    const other = { 'rabbitmq-stream': { bindingKeys: ['amer', 'emea'] } }
    const loop = transport.consumer(topic, { group: unique('group'), ...other })
    await expect(loop.init()).rejects.toMatchObject({ code: 'CONFLICT' })
    await transport.admin.deleteTopic(transport.topicSpec(topic))
  })

  test('a partition is no topic of its own: two kinds of consumers in one group would end the coordinator of RabbitMQ 4.0.5', async () => {
    const topic = unique('topic')
    const transport = openStream()
    await transport.producer(topic, { partitions: 2 }).init()
    const refusal = { code: 'CONFLICT', message: expect.stringContaining(`'${topic}'`) }
    await expect(transport.consumer(`${topic}-1`, { group: unique('group') }).init()).rejects.toMatchObject(refusal)
    await expect(transport.producer(`${topic}-0`).init()).rejects.toMatchObject(refusal)
    await transport.producer(`${topic}-beside`).init()
    await transport.admin.deleteTopic(transport.topicSpec(`${topic}-beside`))
    await transport.admin.deleteTopic(transport.topicSpec(topic))
  })

  test('with publisherName, each stream has its own sequence', async () => {
    const topic = unique('topic')
    const options = { 'rabbitmq-stream': { ...REGIONS['rabbitmq-stream'], publisherName: 'orders' } }
    const transport = openStream()
    for (const _ of [1, 2]) {
      const producer = transport.producer<string>(topic, options)
      await producer.send('one', { key: 'emea', sequence: 5n })
      await producer.send('two', { key: 'amer', sequence: 4n })
      await producer.close()
    }
    await transport.producer<string>(topic, REGIONS).send('end', { key: 'emea' })
    const bodies = (await foreignClient().read(`${topic}-emea`, 2)).map(({ body }) => body.toString())
    expect(bodies).toEqual(['"one"', '"end"'])
    await transport.admin.deleteTopic(transport.topicSpec(topic))
  })

  test('a key twice and another number of partitions are INVALID_ARGUMENT', async () => {
    const producer = openStream().producer(unique('topic'), {
      partitions: 2,
      'rabbitmq-stream': { bindingKeys: ['amer', 'amer', 'emea'] },
    })
    await expect(producer.init()).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/bindingKeys: must not contain a key twice.*partitions: must be 3 or unset/s),
    })
  })
})
