import { describe, expect, it } from 'vitest'
import { run } from './support/kcat.js'
import { openTransport, uniqueTopic } from './support/member.js'
import { openConnection } from './support/raw-member.js'
import { produceRaw } from './support/raw-producer.js'

async function makeTopic(topic: string, config: Readonly<Record<string, string>>): Promise<void> {
  const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }))
  await openConnection().administer((admin) =>
    admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries }] }),
  )
}

/** Has a loop fail with all messages of a topic, until so many are dead letters. */
async function failAll(topic: string, count: number): Promise<string[]> {
  const loop = openTransport().consumer<string>(topic, { group: 'g', codec: 'text', retry: { attempts: 1 } })
  const dead: string[] = []
  loop.on('deadLetter', ({ id }) => dead.push(id))
  loop.handle(() => {
    throw new Error('no')
  })
  await loop.init()
  void loop.run()
  await expect.poll(() => dead.length, { timeout: 25_000 }).toBe(count)
  await loop.close()
  return dead
}

describe('a dead letter', () => {
  it('is as large as what its source takes, whatever senders of this transport are held to', async () => {
    const topic = uniqueTopic()
    await makeTopic(topic, { 'max.message.bytes': '60000000' })
    const sender = openTransport({ maxPayloadBytes: 10_000_000 }).producer<string>(topic, { codec: 'text' })
    for (const id of ['large', 'small']) await sender.send('x'.repeat(id === 'large' ? 3_000_000 : 3), { id })
    expect(await failAll(topic, 2)).toEqual(['large', 'small'])
    const sizes = await run(['-C', '-q', '-t', `${topic}.g.dlq`, '-o', 'beginning', '-c', '2', '-f', '%S\\n'])
    expect(sizes.toString().trim().split('\n')).toEqual(['3000000', '3'])
  })

  it('keeps its time in a header where its topic refuses it as too old', async () => {
    const topic = uniqueTopic()
    await makeTopic(`${topic}.g.dlq`, { 'message.timestamp.before.max.ms': '3600000' })
    const timestamp = Date.now() - 86_400_000
    await openTransport().producer<string>(topic, { codec: 'text' }).send('old', { id: 'old', timestamp })
    expect(await failAll(topic, 1)).toEqual(['old'])
    const headers = await run(['-C', '-q', '-t', `${topic}.g.dlq`, '-o', 'beginning', '-c', '1', '-f', '%h'])
    expect(headers.toString()).toContain(`streamswitch-timestamp=${timestamp}`)
  })
})

describe('a replay', () => {
  it('sends what its topic takes, whatever senders of this transport are held to, and however old it is', async () => {
    const topic = uniqueTopic()
    await makeTopic(topic, { 'max.message.bytes': '60000000', 'message.timestamp.before.max.ms': '3600000' })
    const old = Date.now() - 86_400_000
    const record = { key: null, headers: [], timestamp: Date.now() }
    const time = [Buffer.from('streamswitch-timestamp'), Buffer.from(String(old))] as const
    await produceRaw(topic, 0, [{ ...record, value: Buffer.alloc(3_000_000, 'x') }])
    await produceRaw(topic, 0, [{ ...record, value: Buffer.from('old'), headers: [time] }])
    await failAll(topic, 2)
    const transport = openTransport()
    const seen: unknown[] = []
    const loop = transport.consumer<string>(topic, { group: 'g', codec: 'text' })
    loop.handle(({ value, timestamp }) => {
      seen.push(value.length > 3 ? value.length : [value, timestamp])
    })
    await loop.init()
    void loop.run()
    const replayed = await transport.deadLetters(topic, { group: 'g' }).replay({ all: true })
    expect(replayed).toEqual({ count: 2, missing: [], incomplete: [] })
    await expect.poll(() => seen, { timeout: 20_000 }).toEqual([3_000_000, ['old', old]])
  })
})

describe('a record whose time its topic refuses', () => {
  it('fails alone, not with its batch', async () => {
    const topic = uniqueTopic()
    await makeTopic(topic, { 'message.timestamp.before.max.ms': '3600000' })
    const producer = openTransport().producer<string>(topic, { codec: 'text', lingerMs: 20 })
    const ages = [0, 86_400_000, 0, 172_800_000, 0]
    const results = await Promise.allSettled(
      ages.map((age) => producer.send('x', { timestamp: Date.now() - age, partition: 0 })),
    )
    expect(
      results.map((result) => (result.status === 'fulfilled' ? 'stored' : (result.reason as { code: string }).code)),
    ).toEqual(['stored', 'INVALID_ARGUMENT', 'stored', 'INVALID_ARGUMENT', 'stored'])
  })
})
