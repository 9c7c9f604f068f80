import {
  type AdapterDefinition,
  ConsumerLoop,
  type ConsumerLoopOptions,
  type ConsumerSink,
  type ConsumerSpec,
  officialIdentity,
  Producer,
  type ProducerOptions,
  type ProducerSink,
  type ProducerSpec,
  type TopicSelection,
  type TransportContext,
  type TransportDriver,
  warnOfCleartext,
} from '@streamswitch/core/driver'
import { KafkaAdmin } from './admin.js'
import { requireCompression } from './compression.js'
import { KafkaConnection } from './connection.js'
import { KafkaConsumerDriver } from './consumer.js'
import { classifyError } from './errors.js'
import { KAFKA_FORM } from './native-form.js'
import {
  checkOptions,
  environmentUrl,
  type KafkaConsumerValues,
  type KafkaProducerValues,
  type KafkaValues,
  kafkaConsumerFields,
  kafkaFields,
  kafkaProducerFields,
  optionsFromUrl,
} from './options.js'
import { KafkaProducerDriver } from './producer.js'
import { kafkaReplies } from './replies.js'

/** Kafka 2.1 to 4.x, through kafkajs. */
export const adapter: AdapterDefinition = {
  ...officialIdentity('kafka'),
  reconnects: 'core',
  nativeForm: KAFKA_FORM,
  defaultUrl: 'kafka://127.0.0.1:9092',
  environmentUrl,
  options: kafkaFields,
  producerOptions: kafkaProducerFields,
  consumerOptions: kafkaConsumerFields,
  optionsFromUrl,
  nativeNames: { topic: topicNameProblem, group: () => undefined },
  connect: (options, context) => connect(options as KafkaValues, context),
  classifyError,
  classes: () => ({ Producer: KafkaProducer, ConsumerLoop: KafkaConsumerLoop }),
}

/** Kafka's rule for topics (`org.apache.kafka.common.internals.Topic`). Groups may have any name. */
function topicNameProblem(name: string): string | undefined {
  const isLegal = /^[A-Za-z0-9._-]{1,249}$/.test(name) && name !== '.' && name !== '..'
  return isLegal
    ? undefined
    : "must be 1 to 249 characters of A-Z, a-z, 0-9, '.', '_' and '-', as Kafka allows no others"
}

function connect(options: KafkaValues, context: TransportContext): TransportDriver {
  checkOptions(options)
  requireCompression(options.compression)
  const { logger } = context
  // SCRAM proves the password without sending it.
  if (!options.tls && options.password !== undefined && options.saslMechanism === 'plain') {
    const advice = 'set tls (KAFKA_TLS=true)'
    warnOfCleartext({ transport: 'kafka', logger, what: 'the password', hosts: options.brokers, advice })
  }
  const connection = new KafkaConnection(options, context.clientId, logger)
  const admin = new KafkaAdmin(connection, context.prefix, options.replicationFactor, logger)
  return {
    get native() {
      return connection.native
    },
    admin,
    producer: (spec: ProducerSpec, sink: ProducerSink) => {
      const { compression } = spec.options as KafkaProducerValues
      if (compression !== undefined) requireCompression(compression)
      return new KafkaProducerDriver({ connection, admin, options }, spec as ProducerSpec<KafkaProducerValues>, sink)
    },
    consumer: (spec: ConsumerSpec, sink: ConsumerSink) =>
      new KafkaConsumerDriver({ connection, admin, logger }, spec as ConsumerSpec<KafkaConsumerValues>, sink),
    replies: kafkaReplies({ connection, admin, options }),
    // Drivers and administrative calls open and close their own connections.
    close: async () => {},
  }
}

/** A producer on Kafka. */
export class KafkaProducer<T = unknown> extends Producer<T> {
  constructor(topic: string, options?: ProducerOptions<T>) {
    super(adapter, topic, options)
  }
}

/** A consumer loop on Kafka. */
export class KafkaConsumerLoop<T = unknown> extends ConsumerLoop<T> {
  constructor(topic: TopicSelection, options: ConsumerLoopOptions<T>) {
    super(adapter, topic, options)
  }
}
