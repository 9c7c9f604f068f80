import {
  type ConsumerSink,
  type ConsumerSpec,
  type ProducerSink,
  type ProducerSpec,
  StreamError,
  type TopicSpec,
  type TransportContext,
  type TransportDriver,
  warnOfCleartext,
} from '@streamswitch/core/driver'
import { AmqpAdmin } from './admin.js'
import { openConnection } from './connection.js'
import { AmqpConsumerDriver } from './consumer.js'
import { processEpochs } from './epochs.js'
import { HeldMessages } from './held-messages.js'
import { groupNames, groupPart, requireOwnName, sharedNames } from './names.js'
import {
  type AmqpConsumerSettings,
  type AmqpProducerSettings,
  type AmqpSettings,
  bindingsFor,
  isQueue,
} from './options.js'
import { AmqpProducerDriver } from './producer.js'
import { AmqpQueueDriver, checkQueueConsumer } from './queue-consumer.js'
import { amqpReplies } from './replies.js'
import type { Shared } from './shared.js'
import { SharedConnection } from './shared-connection.js'
import { TopicRegistry } from './topic-registry.js'

/** Makes a transport. No I/O: connections are opened by drivers and admin calls. */
export function connectTransport(settings: AmqpSettings, context: TransportContext): TransportDriver {
  const { clientId, logger, prefix, requires, nativeTopics } = context
  const { tls, password, hosts } = settings
  if (!tls && password !== undefined)
    warnOfCleartext({ transport: 'amqp', logger, what: 'the password', hosts, advice: 'use amqps://' })
  const registry = new TopicRegistry(prefix)
  const names = sharedNames(prefix)
  const common = { registry, shared: names }
  const shared: Shared = {
    settings,
    logger,
    clientId,
    prefix,
    nativeNames: new Set(Object.values(nativeTopics).map(({ name }) => name)),
    publishing: new SharedConnection(() => openConnection(settings, `${clientId} producer`)),
    ...common,
    unprefixed: prefix === '' ? common : { registry: new TopicRegistry(''), shared: sharedNames('') },
    requires,
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
      requireOwnName(spec.topic)
      requireNativeQueue(settings, spec.topic)
      noteNativeNames(shared, [spec.topic])
      return new AmqpProducerDriver(shared, spec as ProducerSpec<AmqpProducerSettings>, sink)
    },
    consumer: (spec: ConsumerSpec, sink: ConsumerSink) => {
      const own = spec as ConsumerSpec<AmqpConsumerSettings>
      noteNativeNames(shared, spec.topics)
      return isOverQueues(shared, own)
        ? new AmqpQueueDriver(shared, own, sink)
        : new AmqpConsumerDriver(shared, own, sink)
    },
    replies: amqpReplies(shared),
    // The last producer or loop to close closes the connections.
    close: async () => {},
  }
}

/** Loops and producers may have native names that the transport's `topics` don't. */
function noteNativeNames({ nativeNames }: Shared, topics: readonly TopicSpec[]): void {
  for (const { native, brokerTopic } of topics) if (native) nativeNames.add(brokerTopic)
}

/** Whether a loop is over queues of others. Throws INVALID_ARGUMENT or UNSUPPORTED for what can't be. */
function isOverQueues({ settings, prefix, requires }: Shared, spec: ConsumerSpec<AmqpConsumerSettings>): boolean {
  const queues = spec.topics.filter((topic) => isQueue(settings, topic))
  for (const topic of spec.topics) {
    requireOwnName(topic)
    requireNativeQueue(settings, topic)
    if (queues.length === 0) groupNames(topic, groupPart(topic, spec.brokerGroup, prefix))
  }
  const { exclusive } = spec.options
  const bound = spec.topics.filter((topic) => bindingsFor(settings, spec.options, topic) !== undefined)
  if (queues.length > 0) checkQueueConsumer(spec, spec.options, { requires, isBound: bound.length > 0 })
  if (queues.length > 0 && queues.length < spec.topics.length)
    throw invalid(spec, "a loop can't combine existing queues with other topics")
  if (bound.some(({ native }) => !native))
    throw invalid(spec, 'bindings: can only be set for existing exchanges, and this topic has no native name')
  if (exclusive && queues.length === 0)
    throw invalid(spec, 'exclusive: can only be set for existing queues (queues, AMQP_QUEUES)')
  return queues.length > 0
}

/** Throws INVALID_ARGUMENT for a queue whose name isn't known. */
function requireNativeQueue({ queues }: AmqpSettings, { topic, native }: TopicSpec): void {
  if (native || !queues.includes(topic)) return
  const what = `topic '${topic}' is in queues (AMQP_QUEUES) but has no native name: set one in topics (STREAMSWITCH_TOPIC_NAMES)`
  throw new StreamError(what, { code: 'INVALID_ARGUMENT', transport: 'amqp', operation: 'configure', topic })
}

function invalid({ topics }: ConsumerSpec, what: string): StreamError {
  const topic = topics[0]?.topic
  return new StreamError(`loop over ${topics.map((spec) => `'${spec.topic}'`).join(', ')}: ${what}`, {
    code: 'INVALID_ARGUMENT',
    transport: 'amqp',
    operation: 'configure',
    topic,
  })
}
