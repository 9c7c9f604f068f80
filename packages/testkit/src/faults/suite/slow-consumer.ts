import { expect } from 'vitest'
import { load, SOAKING } from '../../conformance/load.js'
import type { FaultBench } from './fault-bench.js'
import type { FaultSuite } from './fault-suite.js'

const PRODUCERS = 2
const WINDOW = 20
const PAYLOAD_BYTES = 20_000
/** Handlers of a slow member at once, and how long each takes: two messages a second, where senders do some hundreds. */
const SLOW = { concurrency: 2, handlerMs: 1_000 }
const PREFETCH = 40
const MAX_INBOX_BYTES = 2 * 1024 * 1024
const MEMORY_EVERY_MS = 500
/** What a process needs besides: code that is compiled late, buffers of sockets, numbers of all kinds. */
const SLACK_BYTES = 12 * 1024 * 1024
const FETCH_BYTES = 4 * 1024 * 1024
const SHORTEST_MS = 6_000
const SOAK_MS = 300_000
const PROGRESS_MS = load(30_000)

/**
 * Item 13: a consumer that is a hundred times slower than the senders. What waits, waits at the broker: the process stays small, keeps
 * its partitions, and gets no message twice.
 */
export function slowConsumer(suite: FaultSuite): void {
  const { means, sessionMs = 0 } = suite.settings
  if (means === undefined) return
  const durationMs = SOAKING ? SOAK_MS : Math.max(SHORTEST_MS, 2 * sessionMs)
  const title = 'consumer a hundred times slower than its senders'
  suite.fault(13, title, durationMs + 4 * PROGRESS_MS, async (bench) => {
    const { partitions } = bench
    const perPartition = { prefetch: PREFETCH, maxInboxBytes: MAX_INBOX_BYTES }
    const slow = await bench.consumer('slow', {
      handlerMs: SLOW.handlerMs,
      memoryEveryMs: MEMORY_EVERY_MS,
      settings: { ...perPartition, concurrency: SLOW.concurrency },
    })
    const held = (): number[] => bench.reader.refresh().processes.flatMap(({ bytes }) => bytes ?? [])
    await bench.until(() => held().length > 0, 'a first look at its memory', PROGRESS_MS)
    const idle = held()[0] ?? 0
    const feed = await bench.feed(
      { producers: PRODUCERS, total: load(2_400), window: WINDOW, keysPerProducer: 8 },
      {},
      PAYLOAD_BYTES,
    )
    const started = performance.now()
    const before = events(bench)
    feed.allow(1)
    await feed.run()
    await bench.until(
      () => performance.now() - started >= durationMs,
      'longer than any session',
      durationMs + PROGRESS_MS,
    )
    const peak = Math.max(...held()) - idle
    const { handled } = bench.reader.refresh().counts
    expect(handled, 'handled by the slow one').toBeGreaterThan(0)
    // The broker counts what is unacked, in messages; core what waits, in bytes; the client what is being fetched.
    const { fetchBytes = FETCH_BYTES } = bench.settings
    const waiting = Math.min(partitions * PREFETCH * PAYLOAD_BYTES, MAX_INBOX_BYTES + partitions * PAYLOAD_BYTES)
    const bound = 2 * waiting + fetchBytes + SLACK_BYTES
    expect(peak, 'memory that the process has taken, in bytes').toBeLessThanOrEqual(bound)
    expect(feed.confirmed * PAYLOAD_BYTES, 'there was more to take').toBeGreaterThan(2 * bound)
    expect(events(bench) - before, 'partitions that it lost, and new connections').toBe(0)
    const seen = bench.reader.refresh().verdict().duplicated.length
    expect(seen, 'messages that it got twice').toBe(0)
    // Somebody faster does the rest.
    slow.terminate()
    await slow.ended(PROGRESS_MS)
    await bench.consumer('fast', { handlerMs: 0 })
    await bench.complete(PROGRESS_MS)
    expect(feed.failed, 'sends that were given up').toBe(0)
    const megabytes = (bytes: number): string => `${Math.round(bytes / 1_048_576)} MiB`
    return {
      hit: `${handled} of ${feed.confirmed} handled in ${Math.round((performance.now() - started) / 1000)} s; ${megabytes(peak)} of at most ${megabytes(bound)} held`,
      duplicatesBound: 0,
      duplicatesFormula: '0: nothing fails',
    }
  })
}

/** Revocations and reconnects so far. */
function events(bench: FaultBench): number {
  return bench.reader.refresh().processes.filter(({ did }) => did === 'revoked' || did === 'reconnecting').length
}
