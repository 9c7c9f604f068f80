import { expect, it } from 'vitest'
import type { PartitionAssignment, RemovedRange } from '../src/contract/consumer-driver.js'
import { Script, scriptedTransport, until } from './support/scripted-adapter.js'

it('messages that are gone are an event, and counted where their number is known', async () => {
  const script = new Script()
  const loop = scriptedTransport(script).consumer<string>('orders', { group: 'billing', deadLetter: false })
  const events: RemovedRange[] = []
  loop.on('removed', (range) => events.push(range))
  loop.handle(() => {})
  const ended = loop.run()
  await until(() => script.consumers.length > 0)
  const { sink } = script.consumer
  const assignment: PartitionAssignment = { topic: 'orders', partition: 3, epoch: 1 }
  sink.assigned([assignment])
  await loop.init()
  expect(loop.stats().removed).toBe(0)
  const known = { topic: 'orders', partition: 3, from: '100', to: '350', messages: 250 }
  const unknown = { topic: 'orders', partition: 3, from: undefined, to: '400', messages: undefined }
  for (const range of [known, unknown, { ...known, messages: 2 }]) sink.removed?.(range)
  expect(events).toEqual([known, unknown, { ...known, messages: 2 }])
  expect(loop.stats().removed).toBe(252)
  await loop.close()
  await ended
})
