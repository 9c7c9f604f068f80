import type { Alert, Departure } from './flight.js'
import { InjectedFailures } from './injected-failures.js'
import { hasSeen } from './sequence-ledger.js'
import { loopOptions, newCounts, type RunningService, runLoop, type Surroundings } from './service.js'
import { NO_DELAYS, withDeparture } from './statistics.js'
import { CachedStore } from './store.js'

/**
 * Group `delays`: keeps running statistics per airport and publishes an alert when an airport's moving average passes the
 * threshold. The alert is confirmed before the state that includes it is saved, so a failure in between sends it again, under
 * the same id and sequence.
 */
export async function startDelays({ transport, settings, delays, changed }: Surroundings): Promise<RunningService> {
  const counts = newCounts()
  const before = new InjectedFailures(settings.failEvery)
  const afterAlert = new InjectedFailures(settings.failEvery === 0 ? 0 : 5)
  const states = new CachedStore(delays)
  const alerts = transport.producer<Alert>('alerts', { partitions: settings.partitions })
  const loop = transport.consumer<Departure>('departures', { group: 'delays', ...loopOptions(settings) })
  loop.on('revoked', () => states.clear())

  async function publish(alert: Alert): Promise<void> {
    const id = `${alert.airport}-alert-${alert.sequence}`
    await alerts.send(alert, { key: alert.airport, id })
    afterAlert.pass(id)
  }

  loop.handle(async ({ value: departure }) => {
    const { origin, sequence } = departure
    try {
      before.pass(`${origin}-${sequence}`)
      const known = (await states.load(origin)) ?? NO_DELAYS
      if (hasSeen(known.ledger, sequence)) {
        counts.repeated += 1
        return
      }
      const { state, alert } = withDeparture(known, departure)
      if (alert !== undefined) await publish(alert)
      await states.save(origin, state)
      counts.records += 1
      counts.alerts += state.alerts - known.alerts
      counts.outOfOrder += state.ledger.outOfOrder - known.ledger.outOfOrder
    } finally {
      counts.injectedFailures = before.count + afterAlert.count
      changed()
    }
  })
  await alerts.init()
  return runLoop(loop, counts)
}
