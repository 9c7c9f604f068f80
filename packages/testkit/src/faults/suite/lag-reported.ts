import { expect } from 'vitest'
import { load } from '../../conformance/load.js'
import { duplicatesBound, type FaultSuite } from './fault-suite.js'

const PRODUCERS = 2
const WINDOW = 50
const HANDLER_MS = 10
const PROGRESS_MS = load(30_000)
/** How often the lag must be the same in a row to be taken for what the broker means. */
const STEADY = 5

/**
 * Item 23: the lag that is reported is what the group still has to get: all of it for a group at offset 0, nothing once all is handled,
 * and after the death of all members and of the broker exactly what the next member is given.
 */
export function lagReported(suite: FaultSuite): void {
  const { means, recovery, ripeMs = 0 } = suite.settings
  if (means === undefined) return
  const bound = recovery.brokerKilled
  const title = 'lag at offset 0, in the middle after members and broker were killed (SIGKILL), at the end'
  suite.fault(23, title, 4 * PROGRESS_MS + 4 * bound, async (bench) => {
    const total = load(600)
    const transport = bench.transport()
    const consumer = await bench.consumer('c1', { handlerMs: HANDLER_MS })
    expect(await bench.lag(transport), 'lag of a group of an empty topic').toBe(0)
    consumer.terminate()
    await consumer.ended(PROGRESS_MS)
    const feed = await bench.feed({ producers: PRODUCERS, total, window: WINDOW, keysPerProducer: 3 })
    feed.allow(1)
    const ripe = performance.now() + ripeMs
    await feed.run()
    const atZero = await bench.lagUntil(transport, (lag) => lag === total, `a lag of ${total} at offset 0`, PROGRESS_MS)
    await consumer.start()
    const busy = (): boolean => bench.reader.counts.handled >= total / 3 && bench.runningAt(consumer).length > 0
    await bench.until(() => bench.reader.refresh() && busy(), 'handlers at work', PROGRESS_MS)
    await consumer.kill()
    await bench.until(() => performance.now() >= ripe, 'the topic to be old enough to survive', 2 * ripeMs + 1_000)
    const server = bench.server()
    await server.kill()
    await server.start()
    let steady = 0
    let last: number | undefined
    const left = await bench.lagUntil(
      transport,
      (lag) => {
        steady = lag !== undefined && lag === last ? steady + 1 : 0
        last = lag
        return steady >= STEADY
      },
      'a steady lag after the recovery',
      2 * bound,
    )
    const heir = await bench.consumer('c2')
    await bench.complete(PROGRESS_MS)
    await bench.lagUntil(transport, (lag) => lag === 0, 'no lag at the end', PROGRESS_MS)
    const given = new Set(
      bench.reader.refresh().handlings.flatMap(({ id, process }) => (process === heir.name ? [id] : [])),
    )
    expect(given.size, 'messages that were given to the next member').toBe(left)
    expect(left, 'the lag in the middle').toBeGreaterThan(0)
    expect(left, 'the lag in the middle').toBeLessThan(total)
    return {
      hit: `lag ${atZero}, ${left} and 0, as it was`,
      ...duplicatesBound(bench, { faults: 1, handlerMs: HANDLER_MS }),
    }
  })
}
