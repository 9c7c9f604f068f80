import type { Capabilities } from '../contract/capabilities.js'

/**
 * What core knows about the adapters it was published with, without loading any: enough for clear errors. Data only.
 */
export interface OfficialAdapter {
  readonly name: OfficialName
  readonly package: string
  readonly schemes: readonly string[]
  /** The same data as the adapter's own; the conformance suite compares them. */
  readonly capabilities: Capabilities
  /**
   * Differences of loops on an existing queue of another system, which is consumed unchanged. Default: the transport
   * has no such queues.
   */
  readonly existingQueue?: Partial<Capabilities>
}

export type OfficialName = 'memory' | 'kafka' | 'redis' | 'amqp' | 'rabbitmq-stream' | 'http'

/** The capabilities of a partitioned, durable broker with history; the others differ from it. */
const BROKER: Capabilities = {
  groups: true,
  competingMembers: true,
  keyOrder: true,
  durable: true,
  replay: true,
  retainsWithoutGroup: true,
  assignments: true,
  manualAck: true,
  deadLetters: true,
  attemptsSurviveRestart: true,
  publishDedupe: false,
  lag: true,
  requestReply: true,
  multiProcess: true,
}

export const OFFICIAL_ADAPTERS: readonly OfficialAdapter[] = [
  {
    name: 'memory',
    package: '@streamswitch/memory',
    schemes: ['memory'],
    capabilities: {
      ...BROKER,
      durable: false,
      attemptsSurviveRestart: false,
      publishDedupe: true,
      multiProcess: false,
    },
  },
  { name: 'kafka', package: '@streamswitch/kafka', schemes: ['kafka'], capabilities: BROKER },
  {
    name: 'redis',
    package: '@streamswitch/redis',
    schemes: ['redis', 'rediss'],
    capabilities: { ...BROKER, publishDedupe: 'with a publisherName' },
  },
  {
    name: 'amqp',
    package: '@streamswitch/amqp',
    schemes: ['amqp', 'amqps'],
    capabilities: { ...BROKER, replay: false, retainsWithoutGroup: false },
    existingQueue: {
      groups: false,
      keyOrder: 'with exclusive: true',
      durable: 'as the queue is declared',
      retainsWithoutGroup: true,
      attemptsSurviveRestart: false,
      lag: 'without what other consumers hold',
    },
  },
  {
    name: 'rabbitmq-stream',
    package: '@streamswitch/rabbitmq-stream',
    schemes: ['rabbitmq-stream', 'rabbitmq-stream+tls'],
    capabilities: { ...BROKER, publishDedupe: 'with a publisherName' },
  },
  {
    name: 'http',
    package: '@streamswitch/http',
    schemes: ['http', 'https'],
    capabilities: {
      ...BROKER,
      groups: 'lists of subscribers (HTTP_ROUTES)',
      competingMembers: 'lists of subscribers (HTTP_ROUTES)',
      keyOrder: 'per producer',
      durable: false,
      replay: false,
      retainsWithoutGroup: false,
      assignments: false,
      deadLetters: 'to a configured transport (deadLetterTransport)',
      attemptsSurviveRestart: false,
      lag: false,
    },
  },
]

/** Returns the first part of an official adapter's definition: its name, schemes and capabilities. */
export function officialIdentity(name: OfficialName): Omit<OfficialAdapter, 'package' | 'existingQueue'> {
  const { schemes, capabilities } = OFFICIAL_ADAPTERS.find((one) => one.name === name) as OfficialAdapter
  return { name, schemes, capabilities }
}
