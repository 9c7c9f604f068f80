import { expect, test } from 'vitest'
import { openRedis, plainClient, unique, until } from './bench.js'
import { brokerUrl } from './broker-url.js'

const QUICK = { heartbeatMs: 100, leaseMs: 1_000, claimIdleMs: 400 }

test.each(['key', 'none'] as const)(
  "ordering '%s': what a foreign consumer of the group has read and not acked is handled while the loop runs",
  async (ordering) => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    const transport = openRedis(brokerUrl, QUICK)
    const loop = transport.consumer(topic, { group, ordering })
    const [seen, errors]: [unknown[], Error[]] = [[], []]
    loop.on('error', (error) => void errors.push(error))
    void loop.handle((message) => void seen.push(message.value)).run()
    await loop.init()
    const producer = transport.producer(topic)
    await producer.send('before')
    await until(() => seen.includes('before'))
    const replies = await client
      .multi()
      .xadd(topic, '*', 'payload', '"taken"')
      .xreadgroup('GROUP', group, 'somebody', 'COUNT', 10, 'STREAMS', topic, '>')
      .exec()
    expect(JSON.stringify(replies), 'the foreign consumer has it').toContain('taken')
    await producer.send('after')
    await until(() => seen.includes('taken') && seen.includes('after'))
    await until(async () => (await loop.lag()).every(({ lag }) => lag === 0))
    expect(seen.toSorted()).toEqual(['after', 'before', 'taken'])
    const reported = errors.filter((error) => error.message.includes("'somebody'"))
    expect(reported).toHaveLength(ordering === 'key' ? 1 : 0)
  },
)

test('what is written to the bare name of a topic with several partitions is reported', async () => {
  const [topic, group] = [unique('topic'), unique('group')]
  const client = plainClient(brokerUrl)
  const loop = openRedis(brokerUrl, QUICK).consumer(topic, { group, partitions: 3 })
  const errors: Error[] = []
  loop.on('error', (error) => void errors.push(error))
  void loop.handle(() => {}).run()
  await loop.init()
  await client.xadd(topic, '*', 'payload', '1')
  await until(() => errors.length > 0)
  await client.xadd(topic, '*', 'payload', '2')
  await loop.lag()
  expect(errors).toHaveLength(1)
  expect(errors[0]).toMatchObject({ code: 'CONFLICT', topic, message: expect.stringContaining(`'${topic}:2'`) })
})
