import { startBroker } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Handled, startMember, uniqueName } from './support/member.js'
import { OwnBroker } from './support/own-broker.js'

const WAIT = { timeout: 40_000, interval: 50 }
let own: OwnBroker

beforeAll(async () => {
  own = new OwnBroker(await startBroker('rabbitmq', { config: ['collect_statistics_interval = 500'] }))
})

afterAll(() => own?.broker.remove())

test.each([
  ['reject-publish by policy', 'classic', { 'max-length': 100, overflow: 'reject-publish' }],
  ['quorum as the default queue type', 'quorum', undefined],
])(
  'attempts are counted across members with %s',
  async (_title, type, definition) => {
    const vhost = new OwnBroker(own.broker, uniqueName('attempts'))
    await vhost.makeVhost(type)
    if (definition !== undefined) await vhost.setPolicy(definition)
    const topic = uniqueName('attempts')
    const handled: Handled[] = []
    const attempts: number[] = []
    // More starts than the delivery limit that a quorum queue has by default.
    for (let round = 1; round <= 24; round += 1) {
      const member = await startMember({
        url: vhost.url,
        topic,
        group: 'g',
        name: `m${round}`,
        handled,
        handler: ({ attempt }) => {
          attempts.push(attempt)
          throw new Error('again')
        },
        settings: { retry: { attempts: 100, minDelayMs: 60_000, maxDelayMs: 60_000 }, handlerTimeoutMs: 60_000 },
      })
      onTestFinished(() => member.transport.close())
      if (round === 1) await member.transport.producer<number>(topic).send(1)
      await expect.poll(() => attempts.length, WAIT).toBe(round)
      await expect.poll(() => member.loop.stats().retried, WAIT).toBe(1)
      await member.transport.close()
    }
    expect(attempts).toEqual(Array.from({ length: 24 }, (_, index) => index + 1))
  },
  120_000,
)
