import type { AdapterDefinition, TransportOptions } from '@streamswitch/core'
import type { FaultStand } from '../faults/suite/settings.js'

/** What the cases of replies under faults need to know of an adapter. */
export interface ReplyFaultSettings {
  /** The adapter: it must declare `requestReply` and have replies of its own. */
  readonly adapter: AdapterDefinition
  /** The built adapter, for worker processes: a package name or the `file:` URL of its entry. */
  readonly module: string
  /** Starts what the faults happen to; called once. */
  readonly stand: () => Promise<FaultStand>
  /** Transport options that make timeouts short. */
  readonly options?: TransportOptions['options']
  /** Options of loops that make the death of a member known soon: sessions, leases. JSON only. */
  readonly consumer?: Readonly<Record<string, unknown>>
  /** Longest time until the work of a killed member goes on elsewhere, in milliseconds. Default 15,000. */
  readonly takeoverMs?: number
  /**
   * Names of what callers below a prefix have on the broker for themselves alone. Left out: callers share one topic, of which
   * the retention takes care.
   */
  readonly inboxes?: (prefix: string) => Promise<readonly string[]>
}
