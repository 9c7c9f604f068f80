import { expect } from 'vitest'
import { load } from '../../conformance/load.js'
import { duplicatesBound, type FaultSuite } from './fault-suite.js'

const PRODUCERS = 4
const WINDOW = 50
const HANDLER_MS = 50
/** Many: the next message of a key waits for the ack of the one before, which takes its time where positions are committed. */
const KEYS = 25
const PROGRESS_MS = load(30_000)
/** What the frozen one had may be what froze it: the next one runs it one by one, so it had better not be much. */
const FEW = { prefetch: 10, maxAheadMessages: 20 }

/** Item 21: a consumer stands still for longer than its lease or session, with handlers at work, and goes on afterwards. */
export function consumerFrozen(suite: FaultSuite): void {
  const bound = suite.settings.recovery.consumerFrozen
  const title = 'consumer frozen (SIGSTOP) past its lease while it handles, then resumed'
  suite.fault(21, title, 2 * PROGRESS_MS + 4 * bound, async (bench) => {
    const total = load(600)
    const [frozen] = await bench.consumers({ handlerMs: HANDLER_MS, settings: { ...FEW, ack: 'manual' } })
    if (frozen === undefined) throw new Error('there is no consumer')
    const feed = await bench.feed({ producers: PRODUCERS, total, window: WINDOW, keysPerProducer: KEYS })
    feed.allow(1)
    const fed = feed.run()
    const busy = (): boolean => bench.reader.counts.handled >= total / 5 && bench.runningAt(frozen).length > 0
    let held: readonly string[] = []
    // Handlers may end between the check and the signal. Then the process is resumed, long before its lease expires.
    while (held.length === 0) {
      await bench.until(() => bench.reader.refresh() && busy(), 'running handlers', PROGRESS_MS)
      frozen.freeze()
      held = bench.runningAt(frozen)
      if (held.length === 0) frozen.resume()
    }
    let recoveryMs: number | undefined
    if (bench.brokered) recoveryMs = await bench.handledAll(held, 'another one to handle what it holds', 2 * bound)
    else await bench.until(() => feed.resent > 0, 'the sender to try again', 2 * bound)
    frozen.resume()
    const ofFrozen = () =>
      bench.reader.refresh().handlings.filter(({ id, process }) => process === frozen.name && held.includes(id))
    await bench.until(
      () => ofFrozen().every(({ settled, unsettledCode }) => settled || unsettledCode !== undefined),
      'its handlers to end',
      PROGRESS_MS,
    )
    const fenced = ofFrozen().filter(({ unsettledCode }) => unsettledCode !== undefined).length
    if (bench.brokered) expect(fenced, 'acks of what others had by then, refused').toBeGreaterThanOrEqual(held.length)
    await fed
    await bench.complete(PROGRESS_MS)
    expect(feed.failed, 'sends that were given up').toBe(0)
    const senders = bench.brokered ? {} : { producers: PRODUCERS, window: WINDOW }
    return {
      hit: `${held.length} handlers at work, ${fenced} acks refused`,
      ...duplicatesBound(bench, { faults: 1, handlerMs: HANDLER_MS, ...senders }),
      ...(recoveryMs === undefined ? {} : { recoveryMs: Math.round(recoveryMs), recoveryBoundMs: bound }),
    }
  })
}
