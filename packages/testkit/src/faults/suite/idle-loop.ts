import { setTimeout as delay } from 'node:timers/promises'
import { Transport } from '@streamswitch/core'
import { expect, onTestFinished } from 'vitest'
import { load } from '../../conformance/load.js'
import { uniqueName } from '../../conformance/names.js'
import type { FaultSuite } from './fault-suite.js'

const MESSAGES = 300
/** How long packets are counted, in milliseconds: as long as the interval of the rarest call, the probe. */
const WINDOW_MS = 5_000
const PROGRESS_MS = load(30_000)
/** How many loops there are in the process, each a group of its own, and how many partitions each reads. */
const CASES = [
  { loops: 1, partitions: 1 },
  { loops: 1, partitions: 16 },
  { loops: 8, partitions: 1 },
] as const

/** No demand of its own number: with the defaults of its options, a loop that has nothing to do asks for next to nothing. */
export function idleLoop(suite: FaultSuite): void {
  const { adapter, idlePackets = 8 } = suite.settings
  for (const { loops: count, partitions } of CASES) {
    if (partitions > 1 && suite.settings.partitions === 1) continue
    const who = count === 1 ? 'an idle loop' : `each of ${count} idle loops`
    const title = `${who} with ${partitions} partition(s) sends at most ${idlePackets} packets per second, after traffic`
    suite.check(title, 4 * PROGRESS_MS, async (stand) => {
      const open = (url: string): Transport => {
        const quiet = { debug() {}, info() {}, warn() {}, error() {} }
        const transport = new Transport(adapter, url, { environment: {}, logger: quiet })
        onTestFinished(() => transport.close())
        return transport
      }
      const topic = uniqueName('idle')
      const receiving = open(stand.receiverUrl ?? stand.url)
      let handled = 0
      const loops = Array.from({ length: count }, (_, number) => {
        const settings = { group: `g${number}`, connectTimeoutMs: PROGRESS_MS, ...(partitions > 1 && { partitions }) }
        const loop = receiving.consumer(topic, settings)
        loop.handle(() => {
          handled += 1
        })
        return loop
      })
      const running = loops.map((loop) => loop.run())
      for (const loop of loops) await loop.init()
      const sending = open(stand.url)
      const producer = sending.producer<number>(topic)
      const numbers = Array.from({ length: MESSAGES }, (_, number) => number)
      await Promise.all(numbers.map((number) => producer.send(number, { key: `k${number}` })))
      const unsettled = (): number => loops.reduce((sum, loop) => sum + loop.stats().unsettled, 0)
      await expect.poll(() => [handled, unsettled()], { timeout: PROGRESS_MS }).toEqual([count * MESSAGES, 0])
      await sending.close()
      await delay(WINDOW_MS)
      const before = stand.proxy.packets['to-server']
      expect(before, 'what the proxy has counted').toBeGreaterThan(0)
      const started = performance.now()
      await delay(WINDOW_MS)
      const perSecond = ((stand.proxy.packets['to-server'] - before) * 1_000) / (performance.now() - started)
      expect(perSecond / count, 'packets per second and loop').toBeLessThanOrEqual(idlePackets)
      await Promise.all(loops.map((loop) => loop.close()))
      await Promise.all(running)
    })
  }
}
