import { expect } from 'vitest'
import { load } from '../../conformance/load.js'
import type { FaultBench } from './fault-bench.js'
import { duplicatesBound, type FaultFinding, type FaultSuite } from './fault-suite.js'
import { killAndRestart, killUnconfirmed } from './producer-restart.js'

const PRODUCERS = 4
const WINDOW = 50
const HANDLER_MS = 20
/** Between two sends of a producer that is killed, in milliseconds: it must not have done when the moment is there. */
const PAUSE_MS = 1
const PROGRESS_MS = load(30_000)

/** Item 19: a consumer is killed while its handlers are at work; later it is started again under its name. */
export function consumerKilled(suite: FaultSuite): void {
  const bound = suite.settings.recovery.consumerKilled
  suite.fault(19, 'consumer killed (SIGKILL) while it handles', 2 * PROGRESS_MS + 4 * bound, async (bench) => {
    const total = load(1_000)
    const [first] = await bench.consumers({ handlerMs: HANDLER_MS })
    if (first === undefined) throw new Error('there is no consumer')
    const feed = await bench.feed({ producers: PRODUCERS, total, window: WINDOW, keysPerProducer: 3 })
    feed.allow(1)
    const fed = feed.run()
    const busy = (): boolean => bench.reader.counts.handled >= total / 4 && bench.runningAt(first).length > 0
    await bench.until(() => bench.reader.refresh() && busy(), 'handlers at work', PROGRESS_MS)
    await first.kill()
    // Handlers don't fail here: what ended without success ended with its process.
    const cutOff = bench.reader
      .refresh()
      .handlings.filter(({ process, outcome }) => process === first.name && outcome === 'failed')
      .map(({ id }) => id)
    expect(cutOff.length, 'handlers at work when it was killed').toBeGreaterThan(0)
    // Without a broker there is nobody else: it comes again when its process does.
    if (!bench.brokered) await bench.server().start()
    const recoveryMs = await bench.handledAll(cutOff, 'what was being handled', 2 * bound)
    if (bench.brokered) await first.start()
    await fed
    await bench.complete(PROGRESS_MS)
    expect(feed.failed, 'sends that were given up').toBe(0)
    const senders = bench.brokered ? {} : { producers: PRODUCERS, window: WINDOW }
    return {
      hit: `${cutOff.length} handlers at work`,
      ...duplicatesBound(bench, { faults: 1, handlerMs: HANDLER_MS, ...senders }),
      recoveryMs: Math.round(recoveryMs),
      recoveryBoundMs: bound,
    }
  })
}

/** Item 19: a producer is killed between sends and their confirmation, and started again: it sends the same ids. */
export function producerKilled(suite: FaultSuite): void {
  const { publishDedupe, recovery } = suite.settings
  const timeoutMs = 2 * PROGRESS_MS + 4 * recovery.producerRestarted
  suite.fault(19, 'producer killed (SIGKILL) before confirmation, the same ids sent again', timeoutMs, (bench) =>
    killProducer(bench, {}, false),
  )
  if (publishDedupe === undefined) return
  suite.fault(19, 'the same under a publisher name: the broker drops what it has', timeoutMs, (bench) =>
    killProducer(bench, publishDedupe(bench.topic), true),
  )
}

async function killProducer(bench: FaultBench, settings: object, deduped: boolean): Promise<FaultFinding> {
  const count = load(1_500)
  await bench.consumers()
  const role = { count, keys: ['a', 'b', 'c', 'd', 'e', 'f'], window: WINDOW, sequence: deduped, pauseMs: PAUSE_MS }
  const producer = await bench.producer('p', role, settings)
  const { hit, recoveryMs } = await killAndRestart(bench, producer, count, () =>
    killUnconfirmed(bench, producer, WINDOW),
  )
  return {
    hit,
    duplicatesBound: deduped ? 0 : WINDOW,
    duplicatesFormula: deduped ? '0: the broker recognises them' : `window ${WINDOW}`,
    recoveryMs,
    recoveryBoundMs: bench.settings.recovery.producerRestarted,
  }
}
