import { setTimeout as delay } from 'node:timers/promises'
import { Transport } from '@streamswitch/core'
import { expect, onTestFinished } from 'vitest'
import { load } from '../../conformance/load.js'
import { uniqueName } from '../../conformance/names.js'
import type { FaultSuite } from './fault-suite.js'

const MESSAGES = 300
/** How long packets are counted, in milliseconds. */
const WINDOW_MS = 3_000
const PROGRESS_MS = load(30_000)
const PARTITIONS = [1, 16] as const

/** Packets per second that an idle loop may send, at most. */
const mostPackets = (partitions: number): number => 5 + 2 * partitions

/** No demand of its own number: with the defaults of its options, a loop that has nothing to do asks for next to nothing. */
export function idleLoop(suite: FaultSuite): void {
  const { adapter } = suite.settings
  for (const partitions of suite.settings.partitions === 1 ? [1] : PARTITIONS) {
    const title = `an idle loop with ${partitions} partition(s) sends at most ${mostPackets(partitions)} packets per second, after traffic`
    suite.check(title, 4 * PROGRESS_MS, async (stand) => {
      const open = (url: string): Transport => {
        const quiet = { debug() {}, info() {}, warn() {}, error() {} }
        const transport = new Transport(adapter, url, { environment: {}, logger: quiet })
        onTestFinished(() => transport.close())
        return transport
      }
      const topic = uniqueName('idle')
      const loop = open(stand.receiverUrl ?? stand.url).consumer(topic, {
        group: 'g',
        ...(partitions > 1 && { partitions }),
      })
      let handled = 0
      loop.handle(() => {
        handled += 1
      })
      const running = loop.run()
      await loop.init()
      const sending = open(stand.url)
      const producer = sending.producer<number>(topic)
      const numbers = Array.from({ length: MESSAGES }, (_, number) => number)
      await Promise.all(numbers.map((number) => producer.send(number, { key: `k${number}` })))
      await expect.poll(() => [handled, loop.stats().unsettled], { timeout: PROGRESS_MS }).toEqual([MESSAGES, 0])
      await sending.close()
      await delay(WINDOW_MS)
      const before = stand.proxy.packets['to-server']
      expect(before, 'what the proxy has counted').toBeGreaterThan(0)
      const started = performance.now()
      await delay(WINDOW_MS)
      const perSecond = ((stand.proxy.packets['to-server'] - before) * 1_000) / (performance.now() - started)
      expect(perSecond, 'packets per second').toBeLessThanOrEqual(mostPackets(partitions))
      await loop.close()
      await running
    })
  }
}
