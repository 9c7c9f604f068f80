import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { startBroker } from '@streamswitch/testkit/brokers'
import { expect, it, onTestFinished } from 'vitest'
import { openOn } from './support/cluster.js'
import { uniqueTopic } from './support/member.js'

it('a loop that its broker throttles is slow, and neither stalled nor dead', async () => {
  const broker = await startBroker('kafka')
  onTestFinished(() => broker.remove())
  const topic = uniqueTopic()
  const transport = openOn(broker.url)
  const producer = transport.producer<string>(topic, { codec: 'text' })
  // One by one, so that each is a batch: one that is larger than a quota's window is never sent by the broker.
  for (let index = 0; index < 50; index += 1) await producer.send(`${index} ${'x'.repeat(10_000)}`)
  const quota = ['--alter', '--add-config', 'consumer_byte_rate=40000', '--entity-type', 'clients', '--entity-default']
  const address = broker.url.replace('kafka://', '')
  await promisify(execFile)(broker.tool('kafka-configs'), ['--bootstrap-server', address, ...quota])
  const loop = transport.consumer<string>(topic, { group: 'g', codec: 'text', stallTimeoutMs: 3_000 })
  const events: string[] = []
  loop.on('reconnecting', ({ error }) => events.push(error.message))
  let handled = 0
  loop.handle(() => {
    handled += 1
  })
  await loop.init()
  void loop.run()
  await expect.poll(() => handled, { timeout: 90_000 }).toBe(50)
  expect(events).toEqual([])
  await loop.close()
}, 150_000)
