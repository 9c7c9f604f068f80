import type { DemoSettings, ServiceCounts } from './service.js'
import type { ServiceName } from './services.js'
import type { AirportState } from './statistics.js'

/** What the launcher tells a service's process: what to run, what the store answers, and when to stop. */
export type ToChild =
  | { readonly kind: 'start'; readonly service: ServiceName; readonly settings: DemoSettings }
  | { readonly kind: 'stored'; readonly request: number; readonly state?: AirportState; readonly isStale: boolean }
  | { readonly kind: 'stop' }

/** What a service's process tells the launcher. */
export type ToLauncher =
  | { readonly kind: 'ready' }
  | { readonly kind: 'counts'; readonly counts: ServiceCounts }
  | { readonly kind: 'failed'; readonly message: string }
  | StoreRequest

/** A call of the store, which is the launcher's. Without a state it is to be loaded, else saved. */
export interface StoreRequest {
  readonly kind: 'store'
  readonly request: number
  readonly store: 'delays' | 'alerts'
  readonly airport: string
  readonly state?: AirportState
}
