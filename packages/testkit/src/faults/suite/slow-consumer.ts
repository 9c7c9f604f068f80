import { setTimeout as duration } from 'node:timers/promises'
import { expect } from 'vitest'
import { load, SOAKING } from '../../conformance/load.js'
import type { FaultBench } from './fault-bench.js'
import type { FaultSuite } from './fault-suite.js'
import type { Feed } from './feed.js'

const PRODUCERS = 2
const WINDOW = 20
/** Handlers of a slow member at once, and how long each takes: two messages a second. */
const SLOW = { concurrency: 2, handlerMs: 1_000 }
/** What is sent per second: more than a hundred times as much. */
const SENT_PER_SECOND = (110 * SLOW.concurrency * 1_000) / SLOW.handlerMs
const FEWEST_MESSAGES = 2_400
/** The size of a message: the less, the more there are, so that brokers that keep them in memory can. */
const PAYLOAD_BYTES = 20_000
const ALL_BYTES = 240_000_000
const PREFETCH = 40
const MAX_INBOX_BYTES = 2 * 1024 * 1024
const MEMORY_EVERY_MS = 500
const PACE_MS = 50
const PROBE_INTERVAL_MS = 5_000
/** What a process needs besides: code that is compiled late, buffers of sockets, numbers of all kinds. */
const SLACK_BYTES = 12 * 1024 * 1024
const FETCH_BYTES = 4 * 1024 * 1024
const SHORTEST_MS = 6_000
const SOAK_MS = 300_000
const PROGRESS_MS = load(30_000)

/** How long `STREAMSWITCH_SLOW_CONSUMER_MINUTES` asks for, in milliseconds; `undefined` where it isn't set. Throws for numbers that are none. */
export function slowConsumerMs(environment: NodeJS.ProcessEnv = process.env): number | undefined {
  const minutes = environment['STREAMSWITCH_SLOW_CONSUMER_MINUTES']
  if (minutes === undefined) return undefined
  if (!(Number(minutes) > 0))
    throw new RangeError(`STREAMSWITCH_SLOW_CONSUMER_MINUTES must be above 0, got '${minutes}'`)
  return Number(minutes) * 60_000
}

/**
 * Item 13: a consumer that is a hundred times slower than the senders, for as long as they send. What waits, waits at the broker: the
 * process stays small, keeps its partitions and its connection, and gets no message twice. Then it is as fast as it can, and does the rest.
 */
export function slowConsumer(suite: FaultSuite): void {
  const { means, sessionMs = 0 } = suite.settings
  if (means === undefined) return
  const durationMs = slowConsumerMs() ?? (SOAKING ? SOAK_MS : Math.max(SHORTEST_MS, 2 * sessionMs))
  const total = Math.max(FEWEST_MESSAGES, Math.round((SENT_PER_SECOND * durationMs) / 1_000))
  const payloadBytes = Math.min(PAYLOAD_BYTES, Math.floor(ALL_BYTES / total))
  // The rest takes the longer, the more there is.
  const restMs = PROGRESS_MS + total * 2
  suite.fault(13, 'consumer a hundred times slower than its senders', durationMs + 4 * restMs, async (bench) => {
    const slow = await bench.consumer('slow', {
      handlerMs: SLOW.handlerMs,
      memoryEveryMs: MEMORY_EVERY_MS,
      settings: {
        prefetch: PREFETCH,
        maxInboxBytes: MAX_INBOX_BYTES,
        concurrency: SLOW.concurrency,
        // Sessions and heartbeats are what must hold here; a broker on a busy disk may answer a probe late.
        probeIntervalMs: PROBE_INTERVAL_MS,
      },
    })
    await bench.until(() => held(bench).length > 0, 'a first look at its memory', PROGRESS_MS)
    const [idle = 0] = held(bench)
    const feed = await bench.feed({ producers: PRODUCERS, total, window: WINDOW, keysPerProducer: 8 }, {}, payloadBytes)
    const before = events(bench)
    await paced(feed, durationMs)
    const { handled } = bench.reader.refresh().counts
    expect(handled, 'handled by the slow one').toBeGreaterThan(0)
    expect(feed.confirmed, 'sent meanwhile, a hundred times as much').toBeGreaterThanOrEqual(100 * handled)
    const bound = mostHeld(bench, payloadBytes)
    const peak = Math.max(...held(bench)) - idle
    expect(peak, 'memory that the process has taken, in bytes').toBeLessThanOrEqual(bound)
    expect(feed.confirmed * payloadBytes, 'there was more to take').toBeGreaterThan(2 * bound)
    expect(events(bench) - before, 'partitions that it lost, and new connections').toBe(0)
    slow.hurry()
    const restTookMs = await bench.complete(restMs)
    const left = (): number => (held(bench).at(-1) ?? 0) - idle
    await bench.until(() => left() <= bound, 'no more memory than that to be left', PROGRESS_MS)
    expect(events(bench) - before, 'partitions that it lost, and new connections').toBe(0)
    expect(feed.failed, 'sends that were given up').toBe(0)
    return {
      hit:
        `${count(handled)} of ${count(feed.confirmed)} handled in ${Math.round(durationMs / 1_000)} s, the rest in ` +
        `${Math.round(restTookMs / 1_000)} s; held at most ${mebibytes(peak)} of ${mebibytes(bound)} more than at first, and ${mebibytes(left())} at the end`,
      duplicatesBound: 0,
      duplicatesFormula: '0: nothing fails',
    }
  })
}

/** Sends evenly over the time. */
async function paced(feed: Feed, durationMs: number): Promise<void> {
  const fed = feed.run()
  const started = performance.now()
  for (let share = 0; share < 1; share = (performance.now() - started) / durationMs) {
    feed.allow(share)
    await duration(PACE_MS)
  }
  feed.allow(1)
  await fed
}

/** The broker counts what is unacked, in messages; core what waits, in bytes; the client what is being fetched. */
function mostHeld({ partitions, settings }: FaultBench, payloadBytes: number): number {
  const { fetchBytes = FETCH_BYTES } = settings
  const waiting = Math.min(partitions * PREFETCH * payloadBytes, MAX_INBOX_BYTES + partitions * payloadBytes)
  return 2 * waiting + fetchBytes + SLACK_BYTES
}

/** What the consumer held at each look, in bytes. */
function held(bench: FaultBench): number[] {
  return bench.reader.refresh().processes.flatMap(({ bytes }) => bytes ?? [])
}

/** Revocations and reconnects so far. */
function events(bench: FaultBench): number {
  return bench.reader.refresh().processes.filter(({ did }) => did === 'revoked' || did === 'reconnecting').length
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1_048_576)} MiB`
}

function count(messages: number): string {
  return messages.toLocaleString('en')
}
