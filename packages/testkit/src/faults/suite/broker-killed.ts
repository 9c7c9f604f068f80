import { expect } from 'vitest'
import { load } from '../../conformance/load.js'
import { LATENCY_MS } from './fault-bench.js'
import { duplicatesBound, type FaultSuite } from './fault-suite.js'

const PRODUCERS = 10
const WINDOW = 50
/** Between the faults: everything goes at the speed of the handlers. */
const PROGRESS_MS = load(30_000)

/** Item 17: the broker (without one, the receiver) is killed at one third and at two thirds of the stream. */
export function brokerKilled(suite: FaultSuite): void {
  const { recovery, ripeMs = 0 } = suite.settings
  const bound = recovery.brokerKilled
  const title = 'server killed (SIGKILL) at one third and two thirds of 10,000 sends by 10 producers'
  suite.fault(17, title, 2 * PROGRESS_MS + 8 * bound, async (bench) => {
    const total = load(10_000)
    await bench.consumers()
    const feed = await bench.feed({ producers: PRODUCERS, total, window: WINDOW, keysPerProducer: 3 })
    const ripe = performance.now() + ripeMs
    await bench.until(() => performance.now() >= ripe, 'topics to be old enough to survive', 2 * ripeMs + 1_000)
    const fed = feed.run()
    const hits: number[] = []
    let recoveryMs = 0
    for (const share of [1 / 3, 2 / 3]) {
      bench.stand.proxy.delay(LATENCY_MS)
      feed.allow(share)
      await feed.reached(total * share, PROGRESS_MS)
      const server = bench.server()
      const open = feed.unconfirmed
      await server.kill()
      bench.stand.proxy.delay(0)
      expect(open.length, 'the fault hits sends that are under way').toBeGreaterThan(0)
      hits.push(open.length)
      await server.start()
      recoveryMs = Math.max(recoveryMs, await bench.handledAll(open, 'what was under way', 2 * bound))
    }
    feed.allow(1)
    await fed
    await bench.complete(PROGRESS_MS)
    expect(feed.failed, 'sends that were given up').toBe(0)
    expect(feed.resent, 'records were sent again').toBeGreaterThan(0)
    return {
      hit: `${hits.join(' and ')} sends under way, ${feed.resent} records resent`,
      ...duplicatesBound(bench, { faults: 2, producers: PRODUCERS, window: WINDOW }),
      recoveryMs: Math.round(recoveryMs),
      recoveryBoundMs: bound,
    }
  })
}
