import { randomBytes } from 'node:crypto'
import { Transport, topicPattern } from '@streamswitch/core'
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
