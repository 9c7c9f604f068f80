import { randomBytes } from 'node:crypto'
import { StreamError, Transport } from '@streamswitch/core'
import { afterEach, expect, it, onTestFinished, vi } from 'vitest'
import { MemoryConsumerDriver } from '../src/consumer.js'
import memory from '../src/index.js'
import { MemoryProducerDriver } from '../src/producer.js'

const QUIET = { debug() {}, info() {}, warn() {}, error() {} }

afterEach(() => {
  vi.restoreAllMocks()
})

/** A group that has given up one message, and the box of its dead letters. */
async function givenUp() {
  const name = randomBytes(6).toString('hex')
  const transport = new Transport(memory, `memory://${name}`, { environment: {}, logger: QUIET })
  onTestFinished(() => transport.close({ timeoutMs: 0 }))
  const handled: string[] = []
  let broken = true
  const loop = transport.consumer('orders', { group: 'billing', retry: { attempts: 1 } })
  loop.handle(({ id }) => {
    if (broken) throw new Error('no')
    handled.push(id)
  })
  await loop.init()
  void loop.run()
  const deadLetter = new Promise((resolve) => loop.on('deadLetter', resolve))
  await transport.producer('orders').send(1, { id: 'poison' })
  await deadLetter
  broken = false
  const box = transport.deadLetters('orders', { group: 'billing' })
  return { box, handled, letters: async () => (await box.list()).letters.map(({ id }) => id) }
}

it('a dead letter whose message could not be sent stays', async () => {
  const { box, handled, letters } = await givenUp()
  vi.spyOn(MemoryProducerDriver.prototype, 'publish').mockImplementation((batch) =>
    batch.failAll(new StreamError('full', { code: 'TOO_LARGE' })),
  )
  await expect(box.replay({ all: true })).rejects.toMatchObject({ code: 'TOO_LARGE' })
  vi.restoreAllMocks()
  expect(await letters()).toEqual(['poison'])
  expect(handled).toEqual([])
  expect(await box.replay({ all: true })).toEqual({ count: 1, missing: [], incomplete: [] })
  await expect.poll(() => handled).toEqual(['poison'])
  expect(await letters()).toEqual([])
})

it('a crash between the sending and the removal leaves it: it is sent again, not lost', async () => {
  const { box, handled, letters } = await givenUp()
  vi.spyOn(MemoryConsumerDriver.prototype, 'ack').mockImplementation(async ({ topic }) => {
    if (topic.endsWith('.dlq')) throw new StreamError('killed', { code: 'UNAVAILABLE' })
  })
  await expect(box.replay({ all: true })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  vi.restoreAllMocks()
  expect(await letters()).toEqual(['poison'])
  expect(await box.replay({ all: true })).toEqual({ count: 1, missing: [], incomplete: [] })
  await expect.poll(() => handled).toEqual(['poison', 'poison'])
  expect(await letters()).toEqual([])
})
