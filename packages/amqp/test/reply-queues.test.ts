import { type Channel, connect } from 'amqplib'
import { describe, expect, it, onTestFinished } from 'vitest'
import { replyQueueRefusal } from '../src/reply-queues.js'
import { brokerUrl } from './support/broker.js'
import { openTransport, uniqueName } from './support/member.js'

const WAIT = { timeout: 30_000 }

async function foreignChannel(): Promise<Channel> {
  const connection = await connect(brokerUrl)
  onTestFinished(() => connection.close())
  return connection.createChannel()
}

/** A loop that answers, and a client of another system that asks it to answer at queues of its choice. */
async function answering(options: Readonly<Record<string, unknown>>) {
  const topic = uniqueName('asked')
  const warnings: string[] = []
  const ignore = (): void => {}
  const logger = { debug: ignore, info: ignore, warn: (line: string) => void warnings.push(line), error: ignore }
  const transport = openTransport(brokerUrl, options, { logger })
  onTestFinished(() => transport.close({ timeoutMs: 0 }))
  const loop = transport.consumer<string>(topic, { group: 'g', partitions: 1, retry: { attempts: 1 } })
  const refusals: unknown[] = []
  loop.handle(async (message) => {
    if (message.value === 'fails') throw new Error('not done')
    if (message.value === 'responds') await message.respond('part').catch((error: unknown) => refusals.push(error))
    return message.value
  })
  void loop.run()
  await loop.init()
  const channel = await foreignChannel()
  let asked = 0
  return {
    topic,
    transport,
    loop,
    channel,
    warnings,
    refusals,
    ask(replyTo: string, value = 'answer'): void {
      asked += 1
      const properties = { replyTo, correlationId: `c-${asked}` }
      channel.publish(transport.topicSpec(topic).brokerTopic, 'k', Buffer.from(JSON.stringify(value)), properties)
    },
    async handled(): Promise<void> {
      // A dead letter is acked once it is written.
      await expect.poll(() => loop.stats().acked, WAIT).toBe(asked)
    },
    /** How many messages a queue has, once an honest caller was answered: what was sent before is there. */
    async depthOf(queue: string): Promise<number> {
      const caller = await channel.assertQueue('', { exclusive: true })
      this.ask(caller.queue)
      await expect.poll(async () => (await channel.checkQueue(caller.queue)).messageCount, WAIT).toBe(1)
      return (await channel.checkQueue(queue)).messageCount
    },
  }
}

describe('a reply-to of another system', () => {
  it('leads to no queue of the broker that is not for replies, whether the handler answers or fails', {
    timeout: 60_000,
  }, async () => {
    const bed = await answering({})
    const queue = uniqueName('ledger')
    await bed.channel.assertQueue(queue)
    onTestFinished(async () => void (await bed.channel.deleteQueue(queue)))
    for (const value of ['answer', 'responds', 'fails']) bed.ask(queue, value)
    await bed.handled()
    expect(await bed.depthOf(queue)).toBe(0)
    expect(bed.refusals).toMatchObject([{ code: 'PERMISSION_DENIED', message: expect.stringContaining('replyQueues') }])
    expect(bed.warnings.filter((line) => line.includes(queue))).toHaveLength(1)
  })

  it('leads to queues that replyQueues allows, and to no others', async () => {
    const erp = uniqueName('erp')
    const bed = await answering({ replyQueues: [`${erp}.*`, 'amq.gen-*'] })
    const [allowed, beside] = [`${erp}.answers`, `x${erp}.answers`]
    for (const queue of [allowed, beside]) {
      await bed.channel.assertQueue(queue)
      onTestFinished(async () => void (await bed.channel.deleteQueue(queue)))
      bed.ask(queue)
    }
    await bed.handled()
    expect(await bed.depthOf(beside)).toBe(0)
    expect((await bed.channel.checkQueue(allowed)).messageCount).toBe(1)
  })

  it('leads to no queue of a group, also where every queue is allowed', async () => {
    const bed = await answering({ replyQueues: ['*'] })
    const victim = uniqueName('victim')
    const handled: unknown[] = []
    const audit = bed.transport.consumer(victim, { group: 'audit', partitions: 1 })
    audit.handle((message) => void handled.push(message.value))
    void audit.run()
    await audit.init()
    const own = [`${victim}:audit:0`, `${victim}:audit:0:attempts`, `${victim}:partitions`, `${victim}:audit:dropped`]
    for (const queue of [...own, 'streamswitch:topic-registry', 'streamswitch:dropped']) bed.ask(queue)
    await bed.handled()
    await bed.depthOf(`${victim}:audit:0`)
    await bed.transport.producer(victim).send('honest')
    await expect.poll(() => handled, WAIT).toEqual(['honest'])
    for (const topic of [victim, bed.topic]) await bed.transport.admin.deleteTopic(bed.transport.topicSpec(topic))
  })

  it('leads to no queue that is a topic of this service', async () => {
    const queue = uniqueName('existing')
    const bed = await answering({ replyQueues: ['*'], queues: ['jobs'], topics: { jobs: { name: queue } } })
    await bed.channel.assertQueue(queue)
    onTestFinished(async () => void (await bed.channel.deleteQueue(queue)))
    bed.ask(queue)
    await bed.handled()
    expect(await bed.depthOf(queue)).toBe(0)
  })

  it.each([[''], [['x'.repeat(256)]], [[7]], [{}]])('is judged by patterns that are checked: %j', (replyQueues) => {
    const open = () => openTransport(brokerUrl, { replyQueues })
    if (replyQueues === '') expect(open).not.toThrow()
    else
      expect(open).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('replyQueues') }),
      )
  })
})

describe('what a reply may be sent to', () => {
  const known = { settings: { replyQueues: ['erp.*'] }, prefix: 'app.', nativeNames: new Set(['erp.jobs']) }
  const refusal = (inbox: string, isForeign: boolean): string | undefined =>
    replyQueueRefusal(known, { inbox, isForeign, brokerName: 'app.streamswitch-replies' })

  it.each([
    ['app.streamswitch-replies:0123456789abcdef01234567', true, true],
    ['app.streamswitch-replies:', false, false],
    ['app.streamswitch-replies:a:b', false, false],
    ['app.streamswitch-replies:A', false, false],
    ['other.streamswitch-replies:0123', false, false],
    ['erp.answers', false, true],
    ['erp.jobs', false, false],
    ['erp.orders:billing:0', false, false],
    ['erp.orders:billing:12:attempts', false, false],
    ['erp.orders:billing:members', false, false],
    ['erp.orders:billing:members:m1', false, false],
    ['erp.orders:others', false, false],
    ['erp.streamswitch:dropped', false, false],
    ['erp.streamswitch-replies:0123', false, false],
    ['erp.host:answers', false, true],
    ['app.orders', false, false],
    ['ERP.answers', false, false],
    ['', false, false],
  ])('%s: by a request of ours %s, of others %s', (queue, own, foreign) => {
    expect(refusal(queue, false) === undefined).toBe(own)
    expect(refusal(queue, true) === undefined).toBe(foreign)
  })

  it('says what is allowed, on one line', () => {
    expect(
      replyQueueRefusal(
        { ...known, settings: { replyQueues: ['a\nb'] } },
        { inbox: 'x', isForeign: true, brokerName: 'r' },
      ),
    ).toContain("'a\\nb'")
    expect(
      replyQueueRefusal({ ...known, settings: { replyQueues: [] } }, { inbox: 'x', isForeign: true, brokerName: 'r' }),
    ).toContain('none')
  })
})
