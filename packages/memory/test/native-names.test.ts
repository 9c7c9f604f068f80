import { randomBytes } from 'node:crypto'
import { HandlerFactory, MemoryDedupeStore, Transport, topicPattern } from '@streamswitch/core'
import { nativeNames } from '@streamswitch/testkit'
import { expect, it, onTestFinished } from 'vitest'
import memory from '../src/index.js'

const broker = randomBytes(6).toString('hex')

nativeNames({
  adapter: memory,
  url: () => `memory://${broker}`,
  names: { topic: 'App: Orders/{é} ', group: 'Billing Service:' },
})

const QUIET = { debug() {}, info() {}, warn() {}, error() {} }

function open(name: string, options: Readonly<Record<string, unknown>>): Transport {
  const transport = new Transport(memory, `memory://${name}`, { environment: {}, logger: QUIET, options })
  onTestFinished(() => transport.close({ timeoutMs: 0 }))
  return transport
}

it('names can be given to one producer, loop and box of dead letters; what is without an id has one for all services', async () => {
  const name = randomBytes(6).toString('hex')
  const transport = open(name, { prefix: 'p.' })
  const topic = 'OrderEvents'
  const loop = transport.consumer<string>('orders', {
    group: 'billing',
    nativeName: topic,
    nativeGroup: 'BillingService',
    retry: { attempts: 1 },
  })
  loop.handle(() => {
    throw new Error('no')
  })
  await loop.init()
  void loop.run()
  const failed = new Promise((resolve) => loop.on('deadLetter', resolve))
  await transport.producer<string>('orders', { nativeName: topic }).send('a')
  await failed
  const box = transport.deadLetters('orders', { group: 'billing', nativeName: topic, nativeGroup: 'BillingService' })
  expect(box.deadLetterTopic).toBe('OrderEvents.BillingService.dlq')
  expect((await box.list()).letters).toHaveLength(1)
  expect((await transport.deadLetters('orders', { group: 'billing' }).list()).letters).toEqual([])
})

it('a pattern takes native topics by the names that the map gives them, and by no other', async () => {
  const name = randomBytes(6).toString('hex')
  const plain = open(name, {})
  const native = plain.producer<string>('orders-v1')
  const other = plain.producer<string>('orders-b')
  await Promise.all([native.init(), other.init()])
  const transport = open(name, { topics: { 'orders-a': { name: 'orders-v1' }, 'orders-c': { name: 'Absent' } } })
  const seen: string[] = []
  const loop = transport.consumer<string>(topicPattern('orders-*'), { group: 'billing', topicRefreshMs: 50 })
  loop.handle(({ topic, value }) => void seen.push(`${topic}:${value}`))
  await loop.init()
  void loop.run()
  expect([...loop.topics].sort()).toEqual(['orders-a', 'orders-b'])
  await Promise.all([native.send('1'), other.send('2')])
  await expect.poll(() => [...seen].sort()).toEqual(['orders-a:1', 'orders-b:2'])
})

it('a native topic is made only by the memory transport, whose broker begins empty, unless it is to be verified', async () => {
  const name = randomBytes(6).toString('hex')
  const strict = open(name, { provision: 'verify', topics: { orders: { name: 'OrderEvents' } } })
  await expect(strict.producer('orders').init()).rejects.toMatchObject({ code: 'NOT_FOUND' })
  const transport = open(name, { topics: { orders: { name: 'OrderEvents' } } })
  await transport.producer('orders', { partitions: 2 }).init()
  await expect(transport.producer('orders', { partitions: 3 }).init()).rejects.toMatchObject({ code: 'CONFLICT' })
})

it('marks of dedupe and ids of outputs are those of the native topic and group, whatever a service calls them', async () => {
  const name = randomBytes(6).toString('hex')
  const store = new MemoryDedupeStore()
  const handled: string[] = []
  const outputs: string[] = []
  const services = [
    { topic: 'orders', group: 'billing', prefix: 'one.' },
    { topic: 'bestellungen', group: 'rechnung', prefix: 'two.' },
  ]
  for (const { topic, group, prefix } of services) {
    const names = {
      topics: { [topic]: { name: 'OrderEvents' }, out: { name: 'Out' } },
      groups: { [group]: { name: 'Bill' } },
    }
    const transport = open(name, { prefix, ...names })
    const loop = transport.consumer<string>(topic, { group, dedupe: { store } })
    loop.handle(
      ({ value }) => {
        handled.push(value)
        return value
      },
      { to: transport.producer('out') },
    )
    await loop.init()
    const reading = transport.consumer<string>('out', { group: `reader-${topic}` })
    reading.handle(({ id }) => void outputs.push(id))
    await reading.init()
    void reading.run()
    const running = loop.run()
    await transport.producer<string>(topic).send('a', { id: 'same' })
    await expect.poll(() => outputs).toContain('OrderEvents/Bill/same/0')
    await expect.poll(async () => (await loop.lag()).map(({ lag }) => lag)).toEqual([0])
    await loop.close()
    await running
  }
  expect(handled).toEqual(['a'])
  expect(new Set(outputs)).toEqual(new Set(['OrderEvents/Bill/same/0']))
})

it('a map of queues gives native names to both sides, and finds two loops of one group on one topic by them', async () => {
  const transport = open(randomBytes(6).toString('hex'), {})
  const consumerLoop = { transport, group: 'billing' }
  const factory = new HandlerFactory({ orders: { nativeName: 'OrderEvents', consumerLoop, producer: transport } })
  const seen: unknown[] = []
  const loop = factory.handle('orders', ({ value }) => void seen.push(value))
  await loop.init()
  void loop.run()
  await factory.producer('orders').send('a')
  await expect.poll(() => seen).toEqual(['a'])
  expect((await transport.admin.topics()).map(({ topic }) => topic)).toEqual(['OrderEvents'])
  await factory.close()
  const twins = { a: { nativeName: 'OrderEvents', consumerLoop }, b: { nativeName: 'OrderEvents', consumerLoop } }
  expect(() => new HandlerFactory(twins)).toThrow(/and so does queue 'a'/)
})
