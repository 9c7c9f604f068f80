import type { AdapterDefinition, TransportOptions } from '@streamswitch/core'
import type { FaultStand } from '../faults/suite/settings.js'

/** Settings of the cases of replies under faults for an adapter. */
export interface ReplyFaultSettings {
  /** The adapter: it must declare `requestReply` and have its own `replies`. */
  readonly adapter: AdapterDefinition
  /** The built adapter, for worker processes: a package name or the `file:` URL of its entry. */
  readonly module: string
  /** Starts the target of the faults; called once. */
  readonly stand: () => Promise<FaultStand>
  /** Transport options that make timeouts short. */
  readonly options?: TransportOptions['options']
  /** Options of loops that make the death of a member known soon: sessions, leases. JSON only. */
  readonly consumer?: Readonly<Record<string, unknown>>
  /** Maximum time until another member continues the work of a killed one, in milliseconds. Default 15,000. */
  readonly takeoverMs?: number
  /**
   * Names of what callers below a prefix have on the broker for themselves. Default: callers share one topic, which its
   * retention cleans up.
   */
  readonly inboxes?: (prefix: string) => Promise<readonly string[]>
}
