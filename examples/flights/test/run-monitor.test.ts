import { describe, expect, it } from 'vitest'
import { RunMonitor } from '../src/run-monitor.js'
import { newCounts } from '../src/service.js'

describe('a run', () => {
  it('is finished when every service has everything, its members taken together', async () => {
    const monitor = new RunMonitor(10)
    let isFinished = false
    const finished = monitor.finished.then(() => {
      isFinished = true
    })
    monitor.update('departures', 'departures', { ...newCounts(), records: 10 })
    monitor.update('delays-1', 'delays', { ...newCounts(), records: 4, alerts: 1 })
    monitor.update('delays-2', 'delays', { ...newCounts(), records: 6, alerts: 1 })
    monitor.update('audit', 'audit', { ...newCounts(), records: 9, invalid: 1 })
    monitor.update('alerts', 'alerts', { ...newCounts(), records: 1 })
    await Promise.resolve()
    expect(isFinished).toBe(false)
    monitor.update('alerts', 'alerts', { ...newCounts(), records: 2 })
    await finished
    monitor.stop()
    expect(monitor.counts.delays).toMatchObject({ records: 10, alerts: 2 })
  })

  it('fails when nothing happens, and says how far it came', async () => {
    const monitor = new RunMonitor(10, 20)
    monitor.update('departures', 'departures', { ...newCounts(), records: 10 })
    monitor.update('delays', 'delays', { ...newCounts(), records: 9 })
    await expect(monitor.finished).rejects.toThrow('of 10 departures published 10, delays 9, audit 0, alerts 0 of 0')
  })
})
