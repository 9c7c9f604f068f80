import { load } from '../../conformance/load.js'
import type { FaultSuite } from './fault-suite.js'
import { killAndRestart, killUnconfirmed } from './producer-restart.js'

const WINDOW = 50
/**
 * Between two sends, in milliseconds. A handling is a transaction here, and SQLite runs one at a time: were the group behind, its backlog
 * would count as recovery.
 */
const PAUSE_MS = 2
const PROGRESS_MS = load(30_000)

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
    const { hit, recoveryMs } = await killAndRestart(bench, producer, count, () =>
      killUnconfirmed(bench, producer, WINDOW),
    )
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
