import { expect } from 'vitest'
import { load } from '../../conformance/load.js'
import type { Worker } from '../worker.js'
import type { FaultBench } from './fault-bench.js'
import type { FaultFinding } from './fault-suite.js'

const PROGRESS_MS = load(30_000)

/**
 * Kills a producer in the midst of its `count` sends, by `kill`, and starts it again: what had no confirmation it sends under the
 * same ids, then the rest. Resolves once everything is handled and the producer has ended by itself; `recoveryMs` lasts from the
 * restart until what had no confirmation is confirmed and handled.
 */
export async function killAndRestart(
  bench: FaultBench,
  producer: Worker,
  count: number,
  kill: () => Promise<void>,
): Promise<Required<Pick<FaultFinding, 'hit' | 'recoveryMs'>>> {
  const underWay = (): boolean => bench.reader.refresh().counts.confirmed >= count / 3
  await bench.until(underWay, 'a third of the sends', PROGRESS_MS)
  await kill()
  const open = bench.reader
    .refresh()
    .sends.filter(({ confirmed }) => confirmed === undefined)
    .map(({ id }) => id)
  expect(open.length, 'sends without a confirmation when it was killed').toBeGreaterThan(0)
  await producer.start()
  const bound = bench.settings.recovery.producerRestarted
  const recoveryMs = await bench.handledAll(open, 'what had no confirmation', 2 * bound)
  await bench.until(() => bench.reader.refresh().counts.sent === count, 'all to be sent', PROGRESS_MS)
  await bench.complete(PROGRESS_MS)
  expect(await producer.ended(PROGRESS_MS)).toEqual({ code: 0, signal: null })
  const again = bench.reader.sends.filter(({ calls }) => calls > 1).length
  expect(again, 'ids that were sent again').toBeGreaterThan(0)
  return {
    hit: `${open.length} sends unconfirmed, ${again} ids sent again`,
    recoveryMs: Math.round(recoveryMs),
  }
}
