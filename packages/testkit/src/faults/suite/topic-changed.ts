import { isStreamError, type Transport } from '@streamswitch/core'
import { expect } from 'vitest'
import { load } from '../../conformance/load.js'
import type { Worker } from '../worker.js'
import type { FaultBench } from './fault-bench.js'
import { duplicatesBound, type FaultFinding, type FaultSuite } from './fault-suite.js'
import type { Feed } from './feed.js'

const PRODUCERS = 4
const WINDOW = 50
const SHAPE = { producers: PRODUCERS, window: WINDOW, keysPerProducer: 3 }
const PROGRESS_MS = load(30_000)

/** Item 22: what somebody with the broker's tools may do to a topic and its groups while a service runs. */
export function topicChanged(suite: FaultSuite): void {
  const { means } = suite.settings
  if (means === undefined) return
  const bound = means.changedMs
  const timeoutMs = 4 * PROGRESS_MS + 4 * bound
  const changed = (what: string, body: (bench: FaultBench) => Promise<FaultFinding>): void =>
    suite.fault(22, what, timeoutMs, async (bench) => ({ ...(await body(bench)), recoveryBoundMs: bound }))
  changed('topic deleted and made anew under a running service', topicRecreated)
  if (means.deleteGroup !== undefined)
    changed(`group deleted ${means.groupsIdle === true ? 'between' : 'under'} its members`, groupDeleted)
  if (means.trim !== undefined) changed("topic trimmed past the group's position", topicTrimmed)
  changed('another partition count asked for', otherCountRefused)
  if (means.addPartitions !== undefined) changed('partitions added under a running service', partitionsAdded)
}

async function topicRecreated(bench: FaultBench): Promise<FaultFinding> {
  const transport = bench.transport()
  const { feed, fed, settled } = await halfWay(bench)
  const before = settled.length
  const { reports } = bench
  const spec = transport.topicSpec(bench.topic, { partitions: bench.partitions })
  await retried(() => transport.admin.deleteTopic(spec))
  await retried(() => transport.admin.provision(spec))
  await groupBack(bench, transport)
  const recoveryMs = await secondHalf(bench, feed, fed)
  expect(bench.reports, 'what happened is told').toBeGreaterThan(reports)
  return { hit: `${before} messages deleted with their topic`, ...duplicatesBound(bench, { faults: 1 }), recoveryMs }
}

/**
 * Repeats a call that the broker didn't answer in time: it is busy with deleting, and the suite's timeouts are short. Rejects with
 * errors that aren't retryable, and with the last one after `PROGRESS_MS`.
 */
async function retried<T>(call: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + PROGRESS_MS
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (!isStreamError(error) || !error.retryable || performance.now() > deadline) throw error
    }
  }
}

async function groupDeleted(bench: FaultBench): Promise<FaultFinding> {
  const transport = bench.transport()
  const { feed, fed, consumers, settled } = await halfWay(bench)
  const { reports } = bench
  const idle = bench.means.groupsIdle === true
  if (idle) await stopped(consumers)
  await bench.means.deleteGroup?.(bench.target)
  if (idle) {
    expect(await bench.lag(transport), 'the lag of a group that is gone').toBeUndefined()
    await started(consumers)
  } else await groupBack(bench, transport)
  const recoveryMs = await secondHalf(bench, feed, fed)
  const again = bench.reader.refresh().verdict().duplicated.length
  if (!idle) expect(bench.reports, 'what happened is told').toBeGreaterThan(reports)
  const { duplicatesBound: usual, duplicatesFormula } = duplicatesBound(bench, { faults: 1 })
  return {
    hit: `a group that had handled ${settled.length} messages, ${again} came again`,
    duplicatesBound: settled.length + usual,
    duplicatesFormula: `${settled.length} handled before the position was lost + ${duplicatesFormula}`,
    recoveryMs,
  }
}

async function topicTrimmed(bench: FaultBench): Promise<FaultFinding> {
  const transport = bench.transport()
  const retention = bench.settings.trimRetention
  const { feed, fed, consumers } = await halfWay(bench, retention === undefined ? {} : { retention })
  await stopped(consumers)
  feed.allow(3 / 4)
  await bench.until(() => feed.resting, 'a backlog', PROGRESS_MS)
  const backlog = await bench.lagUntil(transport, (lag) => (lag ?? 0) > 0, 'a backlog', PROGRESS_MS)
  await bench.means.trim?.(bench.target, (bytes) => bench.overflow(bytes))
  const old = new Set(bench.confirmedIds())
  await started(consumers)
  const recoveryMs = await secondHalf(bench, feed, fed, (id) => old.has(id))
  const { lost } = bench.reader.refresh().verdict()
  const gone = lost.filter((id) => old.has(id))
  expect(gone.length, 'messages that were removed before the group had them').toBeGreaterThan(0)
  expect(
    consumers.some(({ logFile }) => bench.logged(logFile, /is outside/)),
    'the trimmed position is reported',
  ).toBe(true)
  await bench.lagUntil(transport, (lag) => lag === 0, 'no lag once everything is handled', PROGRESS_MS)
  return {
    hit: `${gone.length} of a backlog of ${backlog} removed`,
    gone: new Set(gone),
    ...duplicatesBound(bench, { faults: 1 }),
    recoveryMs,
  }
}

async function otherCountRefused(bench: FaultBench): Promise<FaultFinding> {
  const transport = bench.transport()
  const { feed, fed } = await halfWay(bench)
  const other = bench.partitions + 1
  const refused = { code: 'CONFLICT', retryable: false }
  const { topic, group } = bench
  await expect(transport.producer(topic, { partitions: other }).init()).rejects.toMatchObject(refused)
  await expect(transport.consumer(topic, { group, partitions: other }).init()).rejects.toMatchObject(refused)
  await expect(transport.admin.provision(transport.topicSpec(topic, { partitions: other }))).rejects.toMatchObject(
    refused,
  )
  const recoveryMs = await secondHalf(bench, feed, fed)
  return {
    hit: `a producer, a loop and a provisioning for ${other} in place of ${bench.partitions} are CONFLICT`,
    duplicatesBound: 0,
    duplicatesFormula: '0: nobody is touched',
    recoveryMs,
  }
}

/** The loops and producers name no partition count, so that they take what there is. */
async function partitionsAdded(bench: FaultBench): Promise<FaultFinding> {
  const transport = bench.transport()
  const count = 2 * bench.partitions
  await retried(() => transport.admin.provision(transport.topicSpec(bench.topic, { partitions: bench.partitions })))
  const { feed, fed } = await halfWay(bench, { partitions: undefined })
  await bench.means.addPartitions?.(bench.target, count)
  expect((await transport.admin.provision(transport.topicSpec(bench.topic))).partitions).toBe(count)
  // Both sides look at a topic when they connect.
  bench.stand.proxy.cut()
  const recoveryMs = await secondHalf(bench, feed, fed)
  const prober = await bench.prober({ partitions: undefined })
  for (let partition = bench.partitions; partition < count; partition += 1)
    expect(await bench.probe(prober, PROGRESS_MS, partition)).toBeUndefined()
  await bench.complete(PROGRESS_MS)
  return {
    hit: `${count} partitions in place of ${bench.partitions}, the new ones are read`,
    ...duplicatesBound(bench, { faults: 1, producers: PRODUCERS, window: WINDOW }),
    recoveryMs,
  }
}

/** Where topics keep nothing without a group, senders are told so (NOT_FOUND) until the members have made it anew. */
async function groupBack(bench: FaultBench, transport: Transport): Promise<void> {
  if (bench.settings.adapter.capabilities.retainsWithoutGroup !== false) return
  await bench.lagUntil(transport, (lag) => lag === 0, 'the group to be there again', 2 * bench.means.changedMs)
}

interface HalfWay {
  readonly feed: Feed
  readonly fed: Promise<void>
  readonly consumers: readonly Worker[]
  /** Ids that are confirmed, handled and acked. */
  readonly settled: readonly string[]
}

/** A service in the middle of its work, with nothing under way. `topic`: options of producers and loops. */
async function halfWay(bench: FaultBench, topic: Readonly<Record<string, unknown>> = {}): Promise<HalfWay> {
  const consumers = await bench.consumers({ settings: topic })
  const feed = await bench.feed({ ...SHAPE, total: load(1_200) }, topic)
  const fed = feed.run()
  feed.allow(1 / 2)
  await bench.atRest(feed, bench.transport(), PROGRESS_MS)
  return { feed, fed, consumers, settled: bench.confirmedIds() }
}

/** Sends the rest and waits until it is handled. Resolves with how long it took until the first of it were. */
async function secondHalf(
  bench: FaultBench,
  feed: Feed,
  fed: Promise<void>,
  mayBeGone: (id: string) => boolean = () => false,
): Promise<number> {
  const before = feed.confirmed
  const known = new Set(bench.confirmedIds())
  feed.allow(1)
  await feed.reached(before + 1, 2 * bench.means.changedMs)
  const first = bench.confirmedIds().filter((id) => !known.has(id))
  const recoveryMs = await bench.handledAll(first, 'what was sent afterwards', 2 * bench.means.changedMs)
  await fed
  const rest = bench.confirmedIds().filter((id) => !mayBeGone(id))
  await bench.handledAll(rest, 'everything that was confirmed to be handled', PROGRESS_MS)
  expect(feed.failed, 'sends that were given up').toBe(0)
  return Math.round(recoveryMs)
}

async function stopped(workers: readonly Worker[]): Promise<void> {
  for (const worker of workers) worker.terminate()
  await Promise.all(workers.map((worker) => worker.ended(PROGRESS_MS)))
}

async function started(workers: readonly Worker[]): Promise<void> {
  await Promise.all(workers.map((worker) => worker.start()))
  await Promise.all(workers.map((worker) => worker.ready()))
}
