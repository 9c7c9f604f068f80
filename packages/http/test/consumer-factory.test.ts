import { ConsumerFactory, registerAdapter, Transport } from '@streamswitch/core'
import { findFreePort } from '@streamswitch/testkit/brokers'
import { expect, test } from 'vitest'
import http from '../src/index.js'

test("new ConsumerFactory('http', { port }) listens at that port, and closes it", async () => {
  registerAdapter(http)
  const port = await findFreePort()
  await using sending = new Transport(http, `http://127.0.0.1:${port}`, { environment: {} })
  const consumers = new ConsumerFactory('http', { port, group: 'billing', environment: {} })
  const seen: unknown[] = []
  const loop = consumers.route('orders', ({ value }) => seen.push(value))
  await loop.init()
  const ended = loop.run()
  await sending.producer('orders').send({ total: 12 })
  expect(seen).toEqual([{ total: 12 }])
  await consumers.close()
  await ended
  await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow()
})

test('an option that is none of the transport is refused', () => {
  registerAdapter(http)
  expect(() => new ConsumerFactory('http', { prot: 80, environment: {} })).toThrow("did you mean 'port'?")
})
