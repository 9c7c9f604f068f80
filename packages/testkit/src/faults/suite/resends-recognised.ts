import { expect } from 'vitest'
import { load } from '../../conformance/load.js'
import type { FaultBench } from './fault-bench.js'
import type { FaultSuite } from './fault-suite.js'

const WINDOW = 50
/**
 * Between two sends, in milliseconds. A handling is a transaction here, and SQLite runs one at a time: were the group behind, its backlog
 * would count as recovery.
 */
const PAUSE_MS = 2
const PROGRESS_MS = load(30_000)
/** So many looks in a row at bytes that don't get more: what was written has passed. */
const QUIET_POLLS = 10

const MARKS = {
  redis: new URL('./redis-marks.js', import.meta.url).href,
  sqlite: new URL('../../effectively-once/loop-settings.js', import.meta.url).href,
} as const

/**
 * Item 19 with the group's `dedupe`: a producer is killed when its messages have arrived and no confirmation has, and sends the same ids
 * again. Every id is handled once.
 */
export function resendsRecognised(suite: FaultSuite): void {
  const { marks = 'sqlite', recovery } = suite.settings
  const bound = recovery.producerRestarted
  const title = "the same with the group's dedupe: every id is handled once"
  suite.fault(19, title, 2 * PROGRESS_MS + 4 * bound, async (bench) => {
    const count = load(1_500)
    await bench.consumers({ handlerMs: 0, settingsModule: MARKS[marks] })
    const keys = ['a', 'b', 'c', 'd', 'e', 'f']
    const producer = await bench.producer('p', { count, keys, window: WINDOW, pauseMs: PAUSE_MS })
    await bench.until(() => bench.reader.refresh().counts.confirmed >= count / 3, 'a third of the sends', PROGRESS_MS)
    bench.stand.proxy.silence('to-client')
    await writtenAll(bench)
    await producer.kill()
    bench.stand.proxy.heal()
    const open = bench.reader
      .refresh()
      .sends.filter(({ confirmed }) => confirmed === undefined)
      .map(({ id }) => id)
    expect(open.length, 'sends without a confirmation when it was killed').toBeGreaterThan(0)
    await producer.start()
    const recoveryMs = await bench.handledAll(open, 'what had no confirmation', 2 * bound)
    await bench.until(() => bench.reader.refresh().counts.sent === count, 'all to be sent', PROGRESS_MS)
    await bench.complete(PROGRESS_MS)
    expect(await producer.ended(PROGRESS_MS)).toEqual({ code: 0, signal: null })
    const again = bench.reader.sends.filter(({ calls }) => calls > 1).length
    expect(again, 'ids that were sent again').toBeGreaterThan(0)
    const recognised = (): number => bench.reader.refresh().deduplicated
    await bench.until(() => recognised() > 0, 'a message that comes again', PROGRESS_MS)
    return {
      hit: `${open.length} sends unconfirmed, ${again} ids sent again, ${recognised()} messages recognised`,
      duplicatesBound: 0,
      duplicatesFormula: "0: the group's dedupe recognises them",
      recoveryMs: Math.round(recoveryMs),
      recoveryBoundMs: bound,
    }
  })
}

/** Waits until the producer, which gets no answer, has sent what its window allows, and the proxy has passed all of it on. */
async function writtenAll(bench: FaultBench): Promise<void> {
  let passed = -1
  let quiet = 0
  const isQuiet = (): boolean => {
    const { sent, confirmed } = bench.reader.refresh().counts
    const now = bench.stand.proxy.carried['to-server']
    quiet = sent - confirmed >= WINDOW && now === passed ? quiet + 1 : 0
    passed = now
    return quiet >= QUIET_POLLS
  }
  await bench.until(isQuiet, 'a full window of sends without confirmation', PROGRESS_MS)
}
