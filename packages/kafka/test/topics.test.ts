import { startBroker } from '@streamswitch/testkit/brokers'
import { describe, expect, it, onTestFinished } from 'vitest'
import { openOn } from './support/cluster.js'
import { openTransport, uniqueTopic } from './support/member.js'

describe('a list of topics of which one is deleted', () => {
  async function loopOver(provision: 'create' | 'none') {
    const [a, b] = [uniqueTopic(), uniqueTopic()]
    const maker = openTransport()
    for (const topic of [a, b]) await maker.admin.provision(maker.topicSpec(topic, { partitions: 2 }))
    const loop = openTransport({ provision }).consumer<string>([a, b], { group: 'g', codec: 'text' })
    const handled: string[] = []
    const errors: string[] = []
    loop.on('error', ({ code, message }) => errors.push(`${code} ${message}`))
    loop.handle(({ value }) => {
      handled.push(value)
    })
    await loop.init()
    void loop.run()
    const send = (topic: string, value: string): Promise<unknown> =>
      openTransport().producer<string>(topic, { codec: 'text' }).send(value)
    const receives = async (topic: string, value: string): Promise<void> => {
      await send(topic, value)
      await expect.poll(() => handled, { timeout: 25_000 }).toContain(value)
    }
    await receives(a, 'a1')
    await receives(b, 'b1')
    return { a, b, maker, loop, errors, handled, receives }
  }

  it("with provision: 'none' goes on with the others, reports it, and takes it up when somebody makes it again", async () => {
    const { a, b, maker, loop, errors, receives } = await loopOver('none')
    await maker.admin.deleteTopic(maker.topicSpec(a))
    await receives(b, 'b2')
    await expect.poll(() => errors.filter((error) => error.startsWith('NOT_FOUND')).length, { timeout: 25_000 }).toBe(1)
    expect(errors[0]).toContain(a)
    await receives(b, 'b3')
    expect((await loop.lag()).every(({ topic }) => topic === b)).toBe(true)
    await maker.admin.provision(maker.topicSpec(a, { partitions: 2 }))
    await receives(a, 'a2')
    await loop.close()
  }, 120_000)

  it("with provision: 'none' starts without it, and with none of them is refused", async () => {
    const [a, b] = [uniqueTopic(), uniqueTopic()]
    const maker = openTransport()
    await maker.admin.provision(maker.topicSpec(b))
    const transport = openTransport({ provision: 'none' })
    const loop = transport.consumer<string>([a, b], { group: 'g', codec: 'text' })
    const errors: string[] = []
    loop.on('error', ({ code, message }) => errors.push(`${code} ${message}`))
    const handled = new Promise<string>((resolve) => loop.handle(({ value }) => resolve(value)))
    await loop.init()
    void loop.run()
    await maker.producer<string>(b, { codec: 'text' }).send('b1')
    expect(await handled).toBe('b1')
    expect(errors).toEqual([expect.stringMatching(new RegExp(`^NOT_FOUND .*${a}`))])
    await loop.close()
    await expect(transport.consumer([a, uniqueTopic()], { group: 'g' }).init()).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
  })

  it("with provision: 'create' makes it again", async () => {
    const { a, b, maker, loop, receives } = await loopOver('create')
    await maker.admin.deleteTopic(maker.topicSpec(a))
    await receives(b, 'b2')
    const present = async (): Promise<boolean> => (await maker.admin.topics()).some(({ topic }) => topic === a)
    await expect.poll(present, { timeout: 25_000 }).toBe(true)
    await receives(a, 'a2')
    await loop.close()
  }, 120_000)
})

describe('a topic name that the broker refuses', () => {
  it('is CONFLICT where another topic has it but for dots and underscores, at once, in the words of the broker', async () => {
    const name = uniqueTopic()
    const transport = openTransport()
    await transport.admin.provision(transport.topicSpec(`${name}.x`))
    const refusal = {
      code: 'CONFLICT',
      retryable: false,
      message: expect.stringMatching(new RegExp(`collides with existing topic.*${name}.x`)),
    }
    await expect(transport.producer(`${name}_x`).init()).rejects.toMatchObject(refusal)
    await expect(transport.consumer(`${name}_x`, { group: 'g' }).init()).rejects.toMatchObject(refusal)
    await expect(transport.admin.provision(transport.topicSpec(`${name}_x`))).rejects.toMatchObject(refusal)
  })

  it('is so for other refusals of the broker too: its reason is in the error', async () => {
    const transport = openTransport({ replicationFactor: 30 })
    await expect(transport.producer(uniqueTopic()).init()).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/replication factor|broker/i),
    })
  })
})

describe('the lag', () => {
  it('is UNAVAILABLE while the broker is away, from the first moment until it is back', async () => {
    const broker = await startBroker('kafka')
    onTestFinished(() => broker.remove())
    const topic = uniqueTopic()
    const transport = openOn(broker.url, { requestTimeoutMs: 1_000, connectionTimeoutMs: 500 })
    const loop = transport.consumer(topic, { group: 'g', partitions: 2 })
    loop.handle(() => {})
    let lost = 0
    loop.on('reconnecting', () => {
      lost += 1
    })
    await loop.init()
    void loop.run()
    await expect.poll(() => loop.lag(), { timeout: 20_000 }).toHaveLength(2)
    await broker.kill()
    const codes: string[] = []
    const ask = async (): Promise<void> => {
      codes.push(await loop.lag().then(String, ({ code }: { code?: string }) => String(code)))
    }
    for (let round = 0; round < 5; round += 1) await ask()
    await expect.poll(() => lost, { timeout: 60_000 }).toBeGreaterThan(0)
    for (let round = 0; round < 5; round += 1) await ask()
    expect(new Set(codes)).toEqual(new Set(['UNAVAILABLE']))
    await broker.start()
    const length = async (): Promise<number> => (await loop.lag().catch(() => [])).length
    await expect.poll(length, { timeout: 60_000 }).toBe(2)
    await loop.close()
  }, 180_000)
})
