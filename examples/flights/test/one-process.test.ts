import { describe, expect, it } from 'vitest'
import { readDepartures } from '../src/flight-data.js'
import { runInOneProcess } from '../src/one-process.js'
import { DEFAULT_SETTINGS } from '../src/service.js'
import { FULL_ALERTS, FULL_CHECKSUM } from './full-run.js'
import { memoryTopics } from './memory-topics.js'

const url = 'memory://'
const SUBSET = 1_000

describe('all services in one process', () => {
  it('handle the whole data set once and in order', async () => {
    const outcome = await runInOneProcess({ url })
    const { delays, audit, alerts } = outcome.counts
    expect({ checksum: outcome.checksum, isCorrect: outcome.isCorrect }).toEqual({
      checksum: FULL_CHECKSUM,
      isCorrect: true,
    })
    expect([delays.records, audit.records, alerts.records]).toEqual([20_000, 20_000, FULL_ALERTS])
  })

  it('run under the conditions that the checksum is meant for', async () => {
    const { partitions, concurrency } = DEFAULT_SETTINGS
    expect(partitions).toBeGreaterThanOrEqual(8)
    expect(concurrency).toBeGreaterThanOrEqual(16)
    const { counts } = await runInOneProcess({ url, settings: { flights: SUBSET } })
    expect(counts.delays.injectedFailures).toBeGreaterThan(0)
    expect(counts.audit.injectedFailures).toBeGreaterThan(0)
  })

  it('send alerts again after a failure behind the send, and count them once', async () => {
    const { counts, isCorrect } = await runInOneProcess({ url })
    expect(counts.alerts.repeated).toBeGreaterThan(0)
    expect({ alerts: counts.alerts.records, isCorrect }).toEqual({ alerts: FULL_ALERTS, isCorrect: true })
  })

  it('skip what is published twice', async () => {
    const departures = readDepartures(SUBSET).flatMap((departure) => [departure, departure])
    const outcome = await runInOneProcess({ url, departures })
    expect(outcome.isCorrect).toBe(true)
    expect(outcome.counts.delays.repeated).toBeGreaterThan(0)
  })

  it('give another checksum when two departures are published in the wrong order', async () => {
    const [first, ...others] = readDepartures(SUBSET)
    const next = others.findIndex(({ origin }) => origin === first?.origin)
    if (first === undefined || next < 0) throw new Error('no airport departs twice')
    const outcome = await runInOneProcess({
      url,
      departures: [...others.slice(0, next + 1), first, ...others.slice(next + 1)],
    })
    expect(outcome.checksum).not.toBe(outcome.expected)
    expect(outcome.counts.delays.outOfOrder).toBeGreaterThan(0)
    expect(outcome.isCorrect).toBe(false)
  })

  it('give another checksum when the transport is told to keep no order', async () => {
    const outcome = await runInOneProcess({ url, settings: { flights: SUBSET, ordering: 'none' } })
    expect(outcome.counts.delays.records).toBe(SUBSET)
    expect(outcome.checksum).not.toBe(outcome.expected)
    expect(outcome.isCorrect).toBe(false)
  })

  it('delete their topics at the end', async () => {
    const before = await memoryTopics()
    await runInOneProcess({ url, settings: { flights: SUBSET } })
    expect(await memoryTopics()).toEqual(before)
  })

  it('end with the reason when they are interrupted', async () => {
    const interruption = new AbortController()
    const run = runInOneProcess({
      url,
      onStart: () => interruption.abort(new Error('interrupted')),
      signal: interruption.signal,
    })
    await expect(run).rejects.toThrow('interrupted')
  })
})
