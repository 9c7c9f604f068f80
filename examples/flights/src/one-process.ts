import { openTransport } from '@streamswitch/core'
import { demoLogger } from './demo-logger.js'
import type { Departure } from './flight.js'
import { readDepartures } from './flight-data.js'
import { judge, type Outcome } from './outcome.js'
import { RunMonitor } from './run-monitor.js'
import { deleteTopics, runPrefix } from './run-names.js'
import { DEFAULT_SETTINGS, type DemoSettings, type RunningService } from './service.js'
import { RECEIVERS, SERVICES, type ServiceName } from './services.js'
import type { AirportState, DelayState } from './statistics.js'
import { MapStore } from './store.js'

export interface RunOptions {
  /** Where to run. Left out: what the environment says. */
  readonly url?: string | undefined
  readonly settings?: Partial<DemoSettings>
  /** In place of the data set's departures; in another order or with repetitions, for example. */
  readonly departures?: readonly Departure[]
  /** Told once, before anything is sent. */
  readonly onStart?: (monitor: RunMonitor, transport: string) => void
  /** Aborts the run. */
  readonly signal?: AbortSignal | undefined
}

/** Runs all services in this process, on one transport, and deletes the topics at the end. Rejects when the run fails. */
export async function runInOneProcess(options: RunOptions = {}): Promise<Outcome> {
  const settings = { ...DEFAULT_SETTINGS, ...options.settings }
  const departures = options.departures ?? readDepartures(settings.flights)
  const transportOptions = { options: { prefix: runPrefix() }, logger: demoLogger }
  const transport = await openTransport(options.url, transportOptions)
  const total = new Set(departures.map(({ origin, sequence }) => `${origin}-${sequence}`)).size
  const monitor = new RunMonitor(total)
  const interrupt = (): void => monitor.fail(options.signal?.reason)
  options.signal?.addEventListener('abort', interrupt, { once: true })
  try {
    const stores = { delays: new MapStore<DelayState>(), alerts: new MapStore<AirportState>() }
    const surroundings = { transport, settings, ...stores, departures: () => departures }
    for (const name of RECEIVERS) await start(name, surroundings, monitor)
    options.onStart?.(monitor, transport.name)
    const startedMs = performance.now()
    await start('departures', surroundings, monitor)
    await monitor.finished
    const books = { delays: stores.delays.states, alerts: stores.alerts.states }
    return judge({ transport: transport.name, flights: total, startedMs, books, counts: monitor.counts })
  } finally {
    monitor.stop()
    options.signal?.removeEventListener('abort', interrupt)
    await transport.close()
    // Loops and producers have to be closed before their topics are deleted, hence another connection.
    await using cleaner = await openTransport(options.url, transportOptions)
    await deleteTopics(cleaner)
  }
}

type Shared = Omit<Parameters<(typeof SERVICES)[ServiceName]>[0], 'changed'>

async function start(name: ServiceName, shared: Shared, monitor: RunMonitor): Promise<void> {
  let service: RunningService | undefined
  const changed = (): void => {
    if (service !== undefined) monitor.update(name, name, service.counts)
  }
  service = await SERVICES[name]({ ...shared, changed })
  changed()
  service.ended.catch((error: unknown) => monitor.fail(error))
}
