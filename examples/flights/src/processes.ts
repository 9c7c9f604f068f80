import { openTransport } from '@streamswitch/core'
import { demoLogger } from './demo-logger.js'
import { deploymentFor } from './deployment.js'
import { readDepartures } from './flight-data.js'
import type { RunOptions } from './one-process.js'
import { judge, type Outcome } from './outcome.js'
import { RunMonitor } from './run-monitor.js'
import { deleteTopics, runPrefix } from './run-names.js'
import { DEFAULT_SETTINGS } from './service.js'
import { ServiceProcess } from './service-process.js'
import { RECEIVERS, type ServiceName } from './services.js'
import type { AirportState, DelayState } from './statistics.js'
import { MapStore, type Store } from './store.js'

/** Members of group `delays`, each a process. */
const DELAYS_MEMBERS = 3

/**
 * Runs each service in its own process, `delays` in three, and deletes the topics at the end. This process holds the stores and
 * adds up. Rejects with UNSUPPORTED, before anything starts, on a transport that stays within one process.
 */
export async function runInProcesses(options: Omit<RunOptions, 'departures'> = {}): Promise<Outcome> {
  const settings = { ...DEFAULT_SETTINGS, ...options.settings }
  const prefix = runPrefix()
  await using transport = await openTransport(options.url, {
    options: { prefix },
    requires: ['multiProcess'],
    logger: demoLogger,
  })
  const total = readDepartures(settings.flights).length
  const monitor = new RunMonitor(total)
  const interrupt = (): void => monitor.fail(options.signal?.reason)
  options.signal?.addEventListener('abort', interrupt, { once: true })
  const stores = { delays: new MapStore<DelayState>(), alerts: new MapStore<AirportState>() }
  const members = memberNames()
  const environments = await deploymentFor(transport.name, options.url, members)
  const processes: ServiceProcess[] = []

  function launch(member: string, service: ServiceName): Promise<void> {
    const environment = { ...process.env, ...environments.get(member), STREAMSWITCH_PREFIX: prefix }
    const child = new ServiceProcess(member, {
      environment,
      stores: stores as unknown as Record<'delays' | 'alerts', Store<AirportState>>,
      counted: (counts) => monitor.update(member, service, counts),
      failed: (error) => monitor.fail(error),
    })
    processes.push(child)
    return child.start(service, settings)
  }

  try {
    const ready = [...members].map(([member, service]) =>
      service === 'departures' ? undefined : launch(member, service),
    )
    await Promise.race([Promise.all(ready), monitor.finished])
    options.onStart?.(monitor, transport.name)
    const startedMs = performance.now()
    await Promise.race([launch('departures', 'departures'), monitor.finished])
    await monitor.finished
    const books = { delays: stores.delays.states, alerts: stores.alerts.states }
    return judge({ transport: transport.name, flights: total, startedMs, books, counts: monitor.counts })
  } finally {
    monitor.stop()
    options.signal?.removeEventListener('abort', interrupt)
    await Promise.all(processes.map((child) => child.stop()))
    await deleteTopics(transport)
  }
}

/** Every process of the run and the service in it. */
function memberNames(): Map<string, ServiceName> {
  const members = new Map<string, ServiceName>()
  for (const service of RECEIVERS) {
    const count = service === 'delays' ? DELAYS_MEMBERS : 1
    for (let number = 1; number <= count; number += 1)
      members.set(count === 1 ? service : `${service}-${number}`, service)
  }
  return members.set('departures', 'departures')
}
