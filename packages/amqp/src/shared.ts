import type { CapabilityName, ConsumerSpec, Logger, TopicSpec } from '@streamswitch/core/driver'
import type { AmqpConnection } from './connection.js'
import type { Epochs } from './epochs.js'
import type { HeldMessages } from './held-messages.js'
import type { SharedNames } from './names.js'
import type { AmqpSettings } from './options.js'
import type { SharedConnection } from './shared-connection.js'
import type { TopicRegistry } from './topic-registry.js'

/** What the topics below one prefix have in common on the broker. */
export interface Common {
  readonly registry: TopicRegistry
  readonly shared: SharedNames
}

/** What everything of one transport shares. */
export interface Shared extends Common {
  readonly settings: AmqpSettings
  readonly logger: Logger
  readonly clientId: string
  readonly prefix: string
  /** Names on the broker of the exchanges and queues of others that are topics here. */
  readonly nativeNames: Set<string>
  /** The connection that is published on. */
  readonly publishing: SharedConnection
  /** What native topics have in common, whatever the prefix. */
  readonly unprefixed: Common
  /** Capabilities that the service can't do without. */
  readonly requires: readonly CapabilityName[]
  readonly held: HeldMessages
  /** Of all that consumes in this process. */
  readonly epochs: Epochs
  /** A connection of a loop's own. */
  readonly connect: (name: string, signal: AbortSignal) => Promise<AmqpConnection>
  /** Loops that had all their topics once. */
  readonly joined: WeakSet<ConsumerSpec>
}

export function commonOf(shared: Shared, { prefixed }: TopicSpec): Common {
  return prefixed ? shared : shared.unprefixed
}
