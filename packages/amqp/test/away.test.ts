import { type BrokerHandle, startBroker } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Handled, startMember, uniqueName } from './support/member.js'

const WAIT = { timeout: 40_000, interval: 20 }
const LONG = 120_000
let broker: BrokerHandle

beforeAll(async () => {
  broker = await startBroker('rabbitmq')
})

afterAll(() => broker?.remove())

test(
  'lag() while the broker is away, frozen or coming back is UNAVAILABLE, never empty',
  async () => {
    const topic = uniqueName('away')
    const handled: Handled[] = []
    const { transport, loop } = await startMember({
      url: broker.url,
      topic,
      group: 'g',
      name: 'm',
      handled,
      options: { callTimeoutMs: 2_000, heartbeatSeconds: 1 },
      settings: { partitions: 2 },
    })
    onTestFinished(() => transport.close())
    const lags = () => loop.lag().then((found) => found.length)
    const outcome = () =>
      lags().catch((error: { readonly code?: string; readonly name?: string }) => `${error.name} ${error.code}`)
    expect(await lags()).toBe(2)

    broker.pause()
    expect(await outcome()).toBe('StreamError UNAVAILABLE')
    broker.resume()
    await expect.poll(outcome, WAIT).toBe(2)

    await broker.kill()
    for (let ask = 0; ask < 50; ask += 1) {
      expect(await outcome()).toBe('StreamError UNAVAILABLE')
      await new Promise((resolve) => setImmediate(resolve))
    }
    const seen = new Set<unknown>()
    const back = broker.start()
    await expect
      .poll(async () => {
        seen.add(await outcome())
        return seen.has(2)
      }, WAIT)
      .toBe(true)
    await back
    expect(seen).toEqual(new Set(['StreamError UNAVAILABLE', 2]))
  },
  LONG,
)
