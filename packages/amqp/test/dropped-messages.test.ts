import { startBroker } from '@streamswitch/testkit/brokers'
import { connect } from 'amqplib'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { readTail } from '../src/stream-log.js'
import { type Handled, openTransport as openWith, startMember, uniqueName } from './support/member.js'
import { OwnBroker } from './support/own-broker.js'
import { startWorker } from './support/worker.js'

const WAIT = { timeout: 40_000, interval: 50 }
const LONG = 120_000
let own: OwnBroker

beforeAll(async () => {
  own = new OwnBroker(await startBroker('rabbitmq', { config: ['collect_statistics_interval = 500'] }))
})

afterAll(() => own?.broker.remove())

/** What became of the messages of one topic, in a virtual host of its own. */
class Ledger {
  readonly topic = uniqueName('ledger')
  readonly confirmed = new Map<string, number>()
  readonly refused: unknown[] = []
  readonly handled: Handled[] = []
  readonly dropped = new Set<string>()
  readonly errors: unknown[] = []
  readonly broker: OwnBroker
  readonly transport

  constructor(broker: OwnBroker) {
    this.broker = broker
    this.transport = openWith(broker.url)
    onTestFinished(() => this.transport.close())
  }

  static async open(): Promise<Ledger> {
    const broker = new OwnBroker(own.broker, uniqueName('vhost'))
    await broker.makeVhost()
    const ledger = new Ledger(broker)
    await ledger.transport.producer(ledger.topic, { partitions: 1 }).init()
    const group = ledger.transport.consumer(ledger.topic, { group: 'g' })
    await group.init()
    await group.close()
    return ledger
  }

  get queue(): string {
    return `${this.topic}:g:0`
  }

  async policy(definition: Readonly<Record<string, unknown>>, pattern = '.*'): Promise<void> {
    await this.broker.setPolicy(definition, pattern)
    await this.broker.policyApplies(this.queue, definition)
  }

  async send(count: number, sendTimeoutMs = 30_000): Promise<void> {
    const producer = this.transport.producer<number>(this.topic, { sendTimeoutMs })
    for (let number = 0; number < count; number += 1) {
      const id = `m-${this.confirmed.size + this.refused.length}`
      await producer.send(number, { id, key: 'k' }).then(
        () => this.confirmed.set(id, number),
        (error: unknown) => this.refused.push(error),
      )
    }
    await producer.close()
  }

  /** A member that handles, and says what it hears of drops. */
  async join(handler: () => unknown = () => undefined) {
    const member = await startMember({
      url: this.broker.url,
      topic: this.topic,
      group: 'g',
      name: uniqueName('m'),
      handled: this.handled,
      handler,
    })
    onTestFinished(() => member.transport.close())
    member.loop.on('dropped', ({ id }) => this.dropped.add(id))
    member.loop.on('error', (error) => this.errors.push(error))
    return member
  }

  /** Confirmed messages of which nobody has heard again. */
  get missing(): string[] {
    const handled = new Set(this.handled.map(({ number }) => number))
    return [...this.confirmed].filter(([id, number]) => !handled.has(number) && !this.dropped.has(id)).map(([id]) => id)
  }

  async settled(): Promise<void> {
    await expect.poll(() => this.missing, WAIT).toEqual([])
  }

  /** Everything dropped is in the dead letters, and a replay has it handled. */
  async replayable(): Promise<void> {
    const box = this.transport.deadLetters(this.topic, { group: 'g' })
    onTestFinished(() => box.close())
    const { letters } = await box.list({ limit: 1_000 })
    expect(new Set(letters.map(({ id }) => id))).toEqual(this.dropped)
    expect(letters[0]).toMatchObject({ origin: { topic: this.topic, group: 'g', partition: 0 }, key: 'k' })
    await box.replay({ all: true })
    await expect
      .poll(() => new Set(this.handled.map(({ number }) => number)).size, WAIT)
      .toBe(new Set(this.confirmed.values()).size)
  }
}

describe('a policy sets delivery-limit', () => {
  test(
    'members killed four times while their first handler runs: everything is handled or reported, and can be replayed',
    async () => {
      const ledger = await Ledger.open()
      await ledger.policy({ 'delivery-limit': 3 })
      await ledger.send(20)
      for (let kill = 0; kill < 4; kill += 1) {
        const worker = startWorker(ledger.broker.url, ledger.topic, 'g', 'hang')
        await expect.poll(() => worker.lines().some(({ started }) => started !== undefined), WAIT).toBe(true)
        worker.kill()
        await worker.ended
      }
      const { loop } = await ledger.join()
      await ledger.settled()
      expect(ledger.dropped.size, 'the policy has hit').toBeGreaterThan(0)
      expect(loop.stats().dropped).toBe(ledger.dropped.size)
      await ledger.broker.clearPolicy()
      await ledger.replayable()
    },
    LONG,
  )

  test(
    'members closed in good order four times with a backlog',
    async () => {
      const ledger = await Ledger.open()
      await ledger.policy({ 'delivery-limit': 3 })
      await ledger.send(60)
      for (let close = 0; close < 4; close += 1) {
        let started = false
        const member = await ledger.join(async () => {
          started = true
          await new Promise((resolve) => setTimeout(resolve, 200))
        })
        await expect.poll(() => started, WAIT).toBe(true)
        await member.loop.close()
      }
      await ledger.join()
      await ledger.settled()
      expect(ledger.dropped.size, 'the policy has hit').toBeGreaterThan(0)
      await ledger.broker.clearPolicy()
      await ledger.replayable()
    },
    LONG,
  )

  test(
    'dead letters that were read too often come back',
    async () => {
      const ledger = await Ledger.open()
      const { loop } = await ledger.join(() => {
        throw new Error('never')
      })
      let given = 0
      loop.on('deadLetter', () => {
        given += 1
      })
      await ledger.send(5)
      await expect.poll(() => given, WAIT).toBe(5)
      await ledger.broker.setPolicy({ 'delivery-limit': 1 })
      await ledger.broker.policyApplies(`${ledger.topic}.g.dlq:streamswitch.dlq:0`, { 'delivery-limit': 1 })
      const box = ledger.transport.deadLetters(ledger.topic, { group: 'g' })
      onTestFinished(() => box.close())
      for (let read = 0; read < 5; read += 1)
        await expect.poll(async () => (await box.list()).letters.length, WAIT).toBe(5)
      expect(new Set((await box.list()).letters.map(({ error }) => error))).toEqual(new Set(['never']))
    },
    LONG,
  )
})

describe('a policy sets message-ttl', () => {
  test(
    'what expires is reported, and can be replayed',
    async () => {
      const ledger = await Ledger.open()
      await ledger.policy({ 'message-ttl': 300 })
      await ledger.send(20)
      await ledger.broker.policyDrops()
      await ledger.broker.clearPolicy()
      await ledger.join()
      await ledger.settled()
      expect(ledger.dropped.size, 'the policy has hit').toBe(20)
      await ledger.replayable()
    },
    LONG,
  )

  test(
    'what expires by the retention of the group is not reported',
    async () => {
      const { broker, transport } = await Ledger.open()
      const topic = uniqueName('aged')
      const producer = transport.producer<number>(topic, { retention: { maxAgeMs: 300 } })
      await producer.init()
      const group = transport.consumer(topic, { group: 'g', retention: { maxAgeMs: 300 } })
      await group.init()
      await group.close()
      for (let number = 0; number < 5; number += 1) await producer.send(number)
      const connection = await connect(broker.url)
      onTestFinished(() => connection.close())
      const channel = await connection.createChannel()
      const waiting = async () => (await channel.checkQueue(`${topic}:g:0`)).messageCount
      await expect.poll(waiting, WAIT).toBe(0)
      expect(await readTail(channel, 'streamswitch:dropped')).toEqual([])
      const forgotten = async () => (await channel.checkQueue('streamswitch:dropped:expired')).messageCount
      await expect.poll(forgotten, WAIT).toBe(0)
      // What a delivery limit drops does reach the stream.
      const kept = uniqueName('kept')
      const keeping = transport.consumer(kept, { group: 'g', retention: { maxAgeMs: 600_000 } })
      await keeping.init()
      await keeping.close()
      await broker.setPolicy({ 'delivery-limit': 1 })
      await broker.policyApplies(`${kept}:g:0`, { 'delivery-limit': 1 })
      await transport.producer<number>(kept).send(1, { id: 'unlucky' })
      await expect
        .poll(async () => {
          const taking = await connection.createChannel()
          await taking.consume(`${kept}:g:0`, () => {})
          await taking.close()
          return readTail(channel, 'streamswitch:dropped')
        }, WAIT)
        .toMatchObject([{ message: { properties: { messageId: 'unlucky' } } }])
    },
    LONG,
  )

  test(
    'a policy that applies to dead letters as well: everything is reported, and so is what happens to them',
    async () => {
      const ledger = await Ledger.open()
      await ledger.policy({ 'message-ttl': 300 })
      await ledger.send(20)
      await ledger.broker.policyDrops()
      await ledger.join()
      await ledger.settled()
      await expect
        .poll(() => ledger.errors, WAIT)
        .toContainEqual(
          expect.objectContaining({ code: 'TIMEOUT', message: expect.stringContaining('.dlq:streamswitch.dlq:0') }),
        )
    },
    LONG,
  )
})

test.each([[{ 'max-length': 3 }], [{ 'max-length-bytes': 3 }], [{ 'max-length': 3, overflow: 'reject-publish' }]])(
  'a policy sets %o: sends are refused, nothing is dropped',
  async (definition) => {
    const ledger = await Ledger.open()
    await ledger.policy(definition)
    await ledger.send(8, 1_000)
    expect(ledger.refused.length).toBeGreaterThan(0)
    await ledger.join()
    await ledger.settled()
    expect(ledger.dropped.size).toBe(0)
  },
  LONG,
)

test.each([[{ 'max-length': 3, overflow: 'drop-head' }], [{ 'max-length-bytes': 4, overflow: 'drop-head' }]])(
  'a policy sets %o: what is pushed out is reported',
  async (definition) => {
    const ledger = await Ledger.open()
    await ledger.policy(definition, `^${ledger.topic}:`)
    await ledger.send(20)
    await ledger.join()
    await ledger.settled()
    expect(ledger.dropped.size, 'the policy has hit').toBeGreaterThan(0)
    await ledger.broker.clearPolicy()
    await ledger.replayable()
  },
  LONG,
)

test(
  'a policy sets expires: queues in use stay; deleted ones refuse sends, and the loss is reported',
  async () => {
    const ledger = await Ledger.open()
    const member = await ledger.join()
    await ledger.policy({ expires: 1_000 })
    await ledger.send(5)
    await ledger.settled()
    await member.loop.close()
    await expect.poll(() => ledger.broker.queue(ledger.queue), WAIT).toBeUndefined()
    await ledger.send(1)
    expect(ledger.refused).toMatchObject([{ code: 'NOT_FOUND' }])
    await ledger.broker.clearPolicy()
    const next = await ledger.join()
    expect(next.errors).toMatchObject([{ code: 'NOT_FOUND', message: expect.stringContaining('expires') }])
  },
  LONG,
)

test(
  'policies for everything on all queues at once',
  async () => {
    const ledger = await Ledger.open()
    await ledger.policy({ 'delivery-limit': 2, 'message-ttl': 2_000, 'max-length': 10, overflow: 'drop-head' })
    await ledger.send(30)
    for (let close = 0; close < 3; close += 1) {
      const member = await ledger.join()
      await member.loop.close()
    }
    await ledger.join()
    await ledger.settled()
  },
  LONG,
)

test(
  'the stream of dropped messages is deleted while a loop runs: it is created again, and drops are reported',
  async () => {
    const ledger = await Ledger.open()
    const member = await ledger.join()
    await ledger.broker.deleteQueue('streamswitch:dropped')
    await expect.poll(() => ledger.broker.queue('streamswitch:dropped'), WAIT).toBeDefined()
    member.loop.pause()
    await ledger.policy({ 'max-length': 1, overflow: 'drop-head' }, `^${ledger.topic}:`)
    const other = ledger.transport.consumer(ledger.topic, { group: 'h' })
    await other.init()
    await other.close()
    await ledger.send(10)
    member.loop.resume()
    await ledger.settled()
  },
  LONG,
)
