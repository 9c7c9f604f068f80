import { expect } from 'vitest'
import { load } from '../../conformance/load.js'
import type { Worker } from '../worker.js'
import type { FaultBench } from './fault-bench.js'
import type { FaultFinding } from './fault-suite.js'

const PROGRESS_MS = load(30_000)
/** So many looks in a row at bytes that don't get more: what was written has passed. */
const QUIET_POLLS = 10

/** Kills a producer when its sends have arrived, a full `window` of them, and no confirmation has come back. */
export async function killUnconfirmed(bench: FaultBench, producer: Worker, window: number): Promise<void> {
  bench.stand.proxy.silence('to-client')
  await writtenAll(bench, window)
  await producer.kill()
  bench.stand.proxy.heal()
}

/** Waits until the producer, which gets no answer, has sent what its window allows, and the proxy has passed all of it on. */
async function writtenAll(bench: FaultBench, window: number): Promise<void> {
  let passed = -1
  let quiet = 0
  const isQuiet = (): boolean => {
    const { sent, confirmed } = bench.reader.refresh().counts
    const now = bench.stand.proxy.carried['to-server']
    quiet = sent - confirmed >= window && now === passed ? quiet + 1 : 0
    passed = now
    return quiet >= QUIET_POLLS
  }
  await bench.until(isQuiet, 'a full window of sends without confirmation', PROGRESS_MS)
}

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
