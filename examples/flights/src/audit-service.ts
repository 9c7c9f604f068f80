import { type Departure, departureProblems } from './flight.js'
import { InjectedFailures } from './injected-failures.js'
import { EMPTY_LEDGER, hasSeen, note, type SequenceLedger } from './sequence-ledger.js'
import { loopOptions, newCounts, type RunningService, runLoop, type Surroundings } from './service.js'

/** Group `audit`: counts the departures and checks their shape and order, apart from what group `delays` does. */
export async function startAudit({ transport, settings, changed }: Surroundings): Promise<RunningService> {
  const counts = newCounts()
  const failures = new InjectedFailures(settings.failEvery)
  const ledgers = new Map<string, SequenceLedger>()
  const loop = transport.consumer<Departure>('departures', { group: 'audit', ...loopOptions(settings) })

  function count({ origin, sequence }: Departure): void {
    const known = ledgers.get(origin) ?? EMPTY_LEDGER
    if (hasSeen(known, sequence)) {
      counts.repeated += 1
      return
    }
    const next = note(known, sequence)
    ledgers.set(origin, next)
    counts.records += 1
    counts.outOfOrder += next.outOfOrder - known.outOfOrder
  }

  loop.handle(async ({ id, value }) => {
    try {
      failures.pass(`audit-${id}`)
      if (departureProblems(value).length > 0) counts.invalid += 1
      else count(value)
    } finally {
      counts.injectedFailures = failures.count
      changed()
    }
  })
  return runLoop(loop, counts)
}
