import {
  type AdapterDefinition,
  ConsumerLoop,
  type ConsumerLoopOptions,
  type ConsumerSink,
  type ConsumerSpec,
  environmentText,
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
import { RedisAdmin } from './admin.js'
import { Connector } from './connection.js'
import { RedisConsumerDriver } from './consumer.js'
import { classifyError } from './errors.js'
import { Incarnations } from './incarnations.js'
import { streamNameProblem } from './keys.js'
import { REDIS_FORM } from './native-form.js'
import {
  checkTogether,
  optionsFromUrl,
  type RedisProducerSettings,
  type RedisSettings,
  redisConsumerFields,
  redisFields,
  redisProducerFields,
} from './options.js'
import { RedisProducerDriver } from './producer.js'
import { ProducerSessions } from './producer-session.js'
import { redisReplies } from './replies.js'
import { registerTransport } from './transports.js'

/** Redis Streams with consumer groups, on ioredis. Needs Redis 7.0 or newer. */
export const adapter: AdapterDefinition = {
  ...officialIdentity('redis'),
  reconnects: 'core',
  nativeForm: REDIS_FORM,
  defaultUrl: 'redis://127.0.0.1:6379',
  environmentUrl: (environment) => environmentText(environment, 'REDIS_URL'),
  options: redisFields,
  producerOptions: redisProducerFields,
  consumerOptions: redisConsumerFields,
  optionsFromUrl,
  nativeNames: { topic: streamNameProblem, group: () => undefined },
  connect: (options, context) => connect(options as RedisSettings, context),
  classifyError,
  classes: () => ({ Producer: RedisProducer, ConsumerLoop: RedisConsumerLoop }),
}

function connect(settings: RedisSettings, context: TransportContext): TransportDriver {
  checkTogether(settings)
  const { tls, password, hosts } = settings
  if (!tls && password !== undefined)
    warnOfCleartext({
      transport: 'redis',
      logger: context.logger,
      what: 'the password',
      hosts,
      advice: 'use rediss://',
    })
  const connector = new Connector(settings, context)
  const sessions = new ProducerSessions()
  const incarnations = new Incarnations()
  const driver: TransportDriver = {
    get native() {
      return connector.native
    },
    admin: new RedisAdmin(connector, context.prefix),
    producer: (spec: ProducerSpec, sink: ProducerSink) =>
      new RedisProducerDriver(connector, spec as ProducerSpec<RedisProducerSettings>, sessions.of(spec.topic), sink),
    consumer: (spec: ConsumerSpec, sink: ConsumerSink) =>
      new RedisConsumerDriver(connector, spec, incarnations.of(spec), sink),
    replies: redisReplies(connector),
    close: async () => connector.close(),
  }
  return registerTransport(driver, connector)
}

/** A producer on the Redis transport. */
export class RedisProducer<T = unknown> extends Producer<T> {
  constructor(topic: string, options?: ProducerOptions<T>) {
    super(adapter, topic, options)
  }
}

/** A consumer loop on the Redis transport. */
export class RedisConsumerLoop<T = unknown> extends ConsumerLoop<T> {
  constructor(topic: TopicSelection, options: ConsumerLoopOptions<T>) {
    super(adapter, topic, options)
  }
}
