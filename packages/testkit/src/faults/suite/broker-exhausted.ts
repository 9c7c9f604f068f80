import type { Producer } from '@streamswitch/core'
import { expect } from 'vitest'
import { load } from '../../conformance/load.js'
import type { FaultBench } from './fault-bench.js'
import { duplicatesBound, type FaultSuite } from './fault-suite.js'

const PRODUCERS = 4
const WINDOW = 50
const PROGRESS_MS = load(30_000)
/** How long single sends are waited for while the broker takes nothing, in milliseconds: each longer than the one before. */
const PROBES_MS = [500, 3_000]

/** Item 24: the broker takes nothing more. Senders wait or are told so, readers go on, and everything goes on when it is over. */
export function brokerExhausted(suite: FaultSuite): void {
  const { means } = suite.settings
  if (means === undefined) return
  const bound = means.exhaustedMs
  const title = 'broker out of memory, blocked or frozen while messages are sent'
  suite.fault(24, title, 2 * PROGRESS_MS + 4 * bound, async (bench) => {
    const total = load(2_000)
    await bench.consumers()
    const feed = await bench.feed({ producers: PRODUCERS, total, window: WINDOW, keysPerProducer: 3 })
    feed.allow(1 / 3)
    const fed = feed.run()
    await feed.reached(total / 3, PROGRESS_MS)
    const probe = await bench.prober()
    await means.exhaust()
    let open: readonly string[]
    const refused: string[] = []
    let late: Promise<Producer> | undefined
    try {
      feed.allow(1)
      for (const timeoutMs of PROBES_MS) refused.push(await refusal(bench, probe, timeoutMs))
      late = bench.prober({ connectTimeoutMs: 2 * PROGRESS_MS })
      late.catch(() => {})
      await bench.until(() => feed.unconfirmed.length >= PRODUCERS * WINDOW, 'all windows to be full', PROGRESS_MS)
      if (means.exhaustedAltogether !== true)
        await bench.handledAll(bench.confirmedIds(), 'what was confirmed to be handled meanwhile', PROGRESS_MS)
      open = feed.unconfirmed
    } finally {
      await means.relieve()
    }
    const recoveryMs = await bench.handledAll(open, 'what had to wait', 2 * bound)
    await fed
    expect(late, 'a producer that came meanwhile').toBeDefined()
    if (late !== undefined) expect(await bench.probe(await late, PROGRESS_MS), 'what it was told').toBeUndefined()
    await bench.complete(PROGRESS_MS)
    expect(feed.failed, 'sends that were given up').toBe(0)
    return {
      hit: `${open.length} sends waited, single ones were refused: ${refused.join(', ')}`,
      ...duplicatesBound(bench, { faults: 1, producers: PRODUCERS, window: WINDOW }),
      recoveryMs: Math.round(recoveryMs),
      recoveryBoundMs: bound,
    }
  })
}

/** Sends until the broker doesn't take it: the alarm needs a moment until it holds. Resolves with the code. */
async function refusal(bench: FaultBench, producer: Producer, timeoutMs: number): Promise<string> {
  const deadline = performance.now() + PROGRESS_MS
  while (performance.now() < deadline) {
    const code = await bench.probe(producer, timeoutMs)
    if (code === undefined) continue
    expect(['RESOURCE_EXHAUSTED', 'TIMEOUT'], 'what senders are told').toContain(code)
    return code
  }
  throw new Error(`the broker still takes messages after ${PROGRESS_MS} ms`)
}
