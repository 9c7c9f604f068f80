import type { ConsumerLoop, Transport } from '@streamswitch/core'
import type { Departure } from './flight.js'
import type { AirportState, DelayState } from './statistics.js'
import type { Store } from './store.js'

/** What the services agree on. */
export interface DemoSettings {
  /** Of both topics. */
  readonly partitions: number
  /** Handlers at work at once, per service. */
  readonly concurrency: number
  /** One record in so many fails once in each handler. 0: none. */
  readonly failEvery: number
  /** How many departures to publish, the earliest; all where there are fewer. */
  readonly flights: number
  readonly ordering: 'key' | 'none'
}

export const DEFAULT_SETTINGS: DemoSettings = {
  partitions: 8,
  concurrency: 32,
  failEvery: 50,
  flights: 20_000,
  ordering: 'key',
}

/** What a service has done so far. */
export interface ServiceCounts {
  /** Different records: confirmed ones of the publisher, handled ones of the others. */
  records: number
  /** Records that came again and were skipped. */
  repeated: number
  /** Records that came before an earlier one of their airport. */
  outOfOrder: number
  injectedFailures: number
  /** Alerts that were confirmed. */
  alerts: number
  /** Records of the wrong shape. */
  invalid: number
}

export function newCounts(): ServiceCounts {
  return { records: 0, repeated: 0, outOfOrder: 0, injectedFailures: 0, alerts: 0, invalid: 0 }
}

/** What a service gets from the process that it runs in. */
export interface Surroundings {
  readonly transport: Transport
  readonly settings: DemoSettings
  /** The stores of the services that keep state. */
  readonly delays: Store<DelayState>
  readonly alerts: Store<AirportState>
  /** What is to be published. */
  readonly departures: () => readonly Departure[]
  /** Called after each change of the counts. */
  readonly changed: () => void
}

/** A service at work. */
export interface RunningService {
  readonly counts: Readonly<ServiceCounts>
  /** Resolves when the service has ended: the publisher by itself, the others when closed. Rejects when it can't go on. */
  readonly ended: Promise<void>
  close(): Promise<void>
}

/** Starts a service. Resolves once it receives what is sent from now on. */
export type StartService = (surroundings: Surroundings) => Promise<RunningService>

/** Options of every loop of the demo: its failures pass, so a message is tried often and soon. */
export function loopOptions({ partitions, concurrency, ordering }: DemoSettings) {
  return { partitions, concurrency, ordering, retry: { attempts: 50, minDelayMs: 10, maxDelayMs: 500 } } as const
}

/** Joins the group and runs the loop. */
export async function runLoop<T>(loop: ConsumerLoop<T>, counts: ServiceCounts): Promise<RunningService> {
  await loop.init()
  return { counts, ended: loop.run(), close: () => loop.close() }
}
