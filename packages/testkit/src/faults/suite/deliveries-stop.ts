import { expect } from 'vitest'
import { load } from '../../conformance/load.js'
import type { ProcessEvent } from '../../ledger/index.js'
import type { FaultBench } from './fault-bench.js'
import { duplicatesBound, type FaultSuite } from './fault-suite.js'

const PRODUCERS = 4
const WINDOW = 50
/** What a broker has sent and nobody has got must leave something at the broker: it can't know of the rest. */
const FEW = 10
const PROGRESS_MS = load(30_000)

/**
 * Item 18: messages come no more, and everything else goes on, heartbeats and answers included. Nothing but the messages that wait
 * shows that: the loop finds it, tells it, and connects anew. Senders notice nothing.
 */
export function deliveriesStop(suite: FaultSuite): void {
  const { stall } = suite.settings
  if (stall === undefined) return
  const { stallTimeoutMs, recoveredMs } = stall
  suite.fault(18, 'deliveries stop while all else goes on', 2 * PROGRESS_MS + 4 * recoveredMs, async (bench) => {
    const { proxy } = bench.stand
    const total = load(2_000)
    // One: a partition that another one takes meanwhile is never told as recovered.
    await bench.consumer('c1', { settings: { stallTimeoutMs, prefetch: FEW } })
    const feed = await bench.feed({ producers: PRODUCERS, total, window: WINDOW, keysPerProducer: 8 })
    const fed = feed.run()
    feed.allow(1 / 3)
    await feed.reached(total / 3, PROGRESS_MS)
    const met = proxy.deafen()
    const { swallowed } = proxy
    feed.allow(2 / 3)
    await feed.reached((2 * total) / 3, PROGRESS_MS)
    const waiting = bench.confirmedIds()
    const { counts } = bench.reader
    const recoveryMs = await bench.handledAll(waiting, 'what waited', 2 * recoveredMs)
    expect(proxy.swallowed, 'bytes of deliveries that were swallowed').toBeGreaterThan(swallowed)
    const stalls = notes(bench, 'stalled')
    expect(stalls.length, 'stalls that were told').toBeGreaterThan(0)
    for (const note of stalls) expect(note, 'what health said').toMatch(/^delivery; not live: .*none was delivered/)
    expect(notes(bench, 'reconnecting').join('\n'), 'why it connected anew').toContain('stallTimeoutMs')
    await bench.until(
      () => notes(bench, 'recovered').includes('delivery; live'),
      'the recovery to be told',
      PROGRESS_MS,
    )
    feed.allow(1)
    await fed
    await bench.complete(PROGRESS_MS)
    expect([feed.failed, feed.resent], 'sends that were given up, records sent again').toEqual([0, 0])
    return {
      hit: `${met} connections, ${counts.confirmed - counts.handled} messages waiting, ${stalls.length} stalls told`,
      ...duplicatesBound(bench, { faults: 1 }),
      recoveryMs: Math.round(recoveryMs),
      recoveryBoundMs: recoveredMs,
    }
  })
}

function notes(bench: FaultBench, event: ProcessEvent): string[] {
  return bench.reader
    .refresh()
    .processes.flatMap(({ did, note }) => (did === event && note !== undefined ? [note] : []))
}
