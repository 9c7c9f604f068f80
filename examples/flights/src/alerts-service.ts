import type { Alert } from './flight.js'
import { hasSeen } from './sequence-ledger.js'
import { loopOptions, newCounts, type RunningService, runLoop, type Surroundings } from './service.js'
import { NO_ALERTS, withAlert } from './statistics.js'
import { CachedStore } from './store.js'

/** Group `board`: notes the alerts of each airport, once each. */
export async function startAlerts({ transport, settings, alerts, changed }: Surroundings): Promise<RunningService> {
  const counts = newCounts()
  const states = new CachedStore(alerts)
  const loop = transport.consumer<Alert>('alerts', { group: 'board', ...loopOptions(settings) })
  loop.on('revoked', () => states.clear())

  loop.handle(async ({ value: alert }) => {
    const known = (await states.load(alert.airport)) ?? NO_ALERTS
    if (hasSeen(known.ledger, alert.sequence)) counts.repeated += 1
    else {
      const state = withAlert(known, alert)
      await states.save(alert.airport, state)
      counts.records += 1
      counts.outOfOrder += state.ledger.outOfOrder - known.ledger.outOfOrder
    }
    changed()
  })
  return runLoop(loop, counts)
}
