import { load } from '../../conformance/load.js'
import type { FaultBench } from './fault-bench.js'
import type { FaultSuite } from './fault-suite.js'
import { killAndRestart } from './producer-restart.js'

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
    const { hit, recoveryMs } = await killAndRestart(bench, producer, count, async () => {
      bench.stand.proxy.silence('to-client')
      await writtenAll(bench)
      await producer.kill()
      bench.stand.proxy.heal()
    })
    const recognised = (): number => bench.reader.refresh().deduplicated
    await bench.until(() => recognised() > 0, 'a message that comes again', PROGRESS_MS)
    return {
      hit: `${hit}, ${recognised()} messages recognised`,
      duplicatesBound: 0,
      duplicatesFormula: "0: the group's dedupe recognises them",
      recoveryMs,
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
