import type {
  ConsumerSink,
  ConsumerSpec,
  Logger,
  ProducerSink,
  ProducerSpec,
  TransportContext,
  TransportDriver,
} from '@streamswitch/core/driver'
import { AmqpAdmin } from './admin.js'
import { type AmqpConnection, openConnection } from './connection.js'
import { AmqpConsumerDriver } from './consumer.js'
import { type Epochs, processEpochs } from './epochs.js'
import { HeldMessages } from './held-messages.js'
import { groupNames, type SharedNames, sharedNames, topicNames } from './names.js'
import type { AmqpSettings } from './options.js'
import { AmqpProducerDriver } from './producer.js'
import { amqpReplies } from './replies.js'
import { SharedConnection } from './shared-connection.js'
import { TopicRegistry } from './topic-registry.js'

/** What everything of one transport shares. */
export interface Shared {
  readonly settings: AmqpSettings
  readonly logger: Logger
  readonly clientId: string
  readonly prefix: string
  /** The connection that is published on. */
  readonly publishing: SharedConnection
  readonly registry: TopicRegistry
  readonly shared: SharedNames
  readonly held: HeldMessages
  /** Of all that consumes in this process. */
  readonly epochs: Epochs
  /** A connection of a loop's own. */
  readonly connect: (name: string, signal: AbortSignal) => Promise<AmqpConnection>
  /** Loops that had all their topics once. */
  readonly joined: WeakSet<ConsumerSpec>
}

/** Makes a transport. No I/O: connections are opened by drivers and admin calls. */
export function connectTransport(settings: AmqpSettings, context: TransportContext): TransportDriver {
  const { clientId, logger, prefix } = context
  const shared: Shared = {
    settings,
    logger,
    clientId,
    prefix,
    publishing: new SharedConnection(() => openConnection(settings, `${clientId} producer`)),
    registry: new TopicRegistry(prefix),
    shared: sharedNames(prefix),
    held: new HeldMessages(),
    epochs: processEpochs,
    connect: (name, signal) => openConnection(settings, name, signal),
    joined: new WeakSet(),
  }
  return {
    get native() {
      return shared.publishing.native
    },
    admin: new AmqpAdmin(shared),
    producer: (spec: ProducerSpec, sink: ProducerSink) => {
      topicNames(spec.topic.brokerTopic)
      return new AmqpProducerDriver(shared, spec, sink)
    },
    consumer: (spec: ConsumerSpec, sink: ConsumerSink) => {
      checkConsumer(spec)
      return new AmqpConsumerDriver(shared, spec, sink)
    },
    replies: amqpReplies(shared),
    // The last producer or loop to close closes the connections.
    close: async () => {},
  }
}

function checkConsumer(spec: ConsumerSpec): void {
  for (const topic of spec.topics) {
    topicNames(topic.brokerTopic)
    groupNames(topic.brokerTopic, spec.group)
  }
}
