import {
  bracketed,
  environmentText,
  hostsOption,
  type OptionInput,
  type OptionValues,
  option,
  StreamError,
  secretOption,
  type TlsOptions,
  type TransportUrl,
  tlsFields,
} from '@streamswitch/core/driver'

const COMPRESSIONS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

/** Options of the Kafka transport: `kafka://user:password@b1:9092,b2:9092?compression=gzip`. */
export const kafkaFields = {
  /**
   * Bootstrap servers: `host:port` of one or more brokers (`bootstrap.servers`). In a URL they are its hosts.
   * @default ['127.0.0.1:9092']
   */
  brokers: hostsOption({ default: ['127.0.0.1:9092'] }),
  /** User for SASL. Default: no authentication. */
  username: option.text({ environment: 'KAFKA_USERNAME' }),
  /** Password for SASL: a string, `{ file }` or a function, read at each connect. */
  password: secretOption({ environment: 'KAFKA_PASSWORD' }),
  /**
   * SASL mechanism (`sasl.mechanism`).
   * @default 'plain'
   */
  saslMechanism: option.choice(['plain', 'scram-sha-256', 'scram-sha-512'], {
    default: 'plain',
    environment: 'KAFKA_SASL_MECHANISM',
  }),
  /**
   * Encrypts connections.
   * @default false
   */
  tls: option.flag({ default: false, environment: 'KAFKA_TLS' }),
  ...tlsFields,
  /**
   * Compression of sent batches. Received batches are decompressed whatever their compression.
   * @default 'none'
   */
  compression: option.choice(COMPRESSIONS, { default: 'none', environment: 'KAFKA_COMPRESSION' }),
  /**
   * Maximum decompressed size of a batch, in bytes; each of its records counts as 128 bytes more. A larger batch stops
   * its partition. A fetch response is also limited to this size, plus the batch that exceeds it.
   * @default 67108864 (64 MiB)
   */
  maxDecompressedBytes: option.integer({ default: 64 * 1024 * 1024, min: 1024 }),
  /**
   * Lets the broker recognise a batch that the client repeats within a producer's session (`enable.idempotence`).
   * @default true
   */
  idempotent: option.flag({ default: true }),
  /**
   * Maximum payload, in bytes. Together with key and headers it must stay below the topic's `max.message.bytes`
   * (default 1,048,588).
   * @default 1000000
   */
  maxPayloadBytes: option.integer({ default: 1_000_000, min: 1 }),
  /**
   * Number of replicas of each partition of created topics; -1 is the broker's own default
   * (`default.replication.factor`).
   * @default -1
   */
  replicationFactor: option.integer({ default: -1, min: -1, max: 32_767 }),
  /**
   * Maximum time to open a TCP or TLS connection to one broker, in milliseconds.
   * @default 3000 (3 s)
   */
  connectionTimeoutMs: option.integer({ default: 3_000, min: 1 }),
  /**
   * Maximum time for a broker to answer a request, in milliseconds.
   * @default 10000 (10 s)
   */
  requestTimeoutMs: option.integer({ default: 10_000, min: 100 }),
}

/** Options of producers, under `kafka`. */
export const kafkaProducerFields = {
  /** Overrides the transport's `compression`. */
  compression: option.choice(COMPRESSIONS),
  /** Overrides the transport's `idempotent`. */
  idempotent: option.flag(),
}

/** Options of loops, under `kafka`. */
export const kafkaConsumerFields = {
  /**
   * Time without a heartbeat after which the broker considers a member dead (`session.timeout.ms`), in milliseconds.
   * The broker's own limits apply (default 6,000 to 1,800,000).
   * @default 10000 (10 s)
   */
  sessionTimeoutMs: option.integer({ default: 10_000, min: 1_000 }),
  /**
   * Interval of a member's heartbeats, in milliseconds; also how soon it learns of a rebalance
   * (`heartbeat.interval.ms`).
   * @default 500
   */
  heartbeatIntervalMs: option.integer({ default: 500, min: 50 }),
  /**
   * Maximum time for members to finish running handlers when the group is rebalanced, in milliseconds. Half of it is
   * available to handlers.
   * @default 60000 (1 min)
   */
  rebalanceTimeoutMs: option.integer({ default: 60_000, min: 1_000 }),
  /**
   * How long the broker may delay a fetch while it has nothing to return, in milliseconds (`fetch.max.wait.ms`).
   * @default 500
   */
  maxWaitMs: option.integer({ default: 500, min: 1 }),
  /**
   * Maximum size of one fetch, in bytes (`fetch.max.bytes`); on a slow link less is requested. A single larger batch is
   * still delivered.
   * @default 10485760 (10 MiB)
   */
  fetchMaxBytes: option.integer({ default: 10 * 1024 * 1024, min: 1024 }),
  /**
   * Maximum size of one partition in one fetch, in bytes (`max.partition.fetch.bytes`); about three times as much may
   * wait in this process per partition.
   * @default 1048576 (1 MiB)
   */
  fetchMaxPartitionBytes: option.integer({ default: 1024 * 1024, min: 1024 }),
  /**
   * How often to look for partitions added to a topic, in milliseconds (`metadata.max.age.ms`).
   * @default 300000 (5 min)
   */
  metadataMaxAgeMs: option.integer({ default: 300_000, min: 100 }),
  /**
   * Minimum time between two commits of a partition, in milliseconds.
   * @default 100
   */
  commitIntervalMs: option.integer({ default: 100, min: 0 }),
}

export type KafkaOptions = OptionInput<Omit<typeof kafkaFields, keyof TlsOptions>> & TlsOptions
export type KafkaProducerOptions = OptionInput<typeof kafkaProducerFields>
export type KafkaConsumerOptions = OptionInput<typeof kafkaConsumerFields>

declare module '@streamswitch/core/driver' {
  interface AdapterOptionTypes {
    readonly kafka: { readonly producer: KafkaProducerOptions; readonly consumer: KafkaConsumerOptions }
  }
}
export type KafkaValues = OptionValues<typeof kafkaFields>
export type KafkaProducerValues = OptionValues<typeof kafkaProducerFields>
export type KafkaConsumerValues = OptionValues<typeof kafkaConsumerFields>
export type CompressionName = KafkaValues['compression']

const DEFAULT_PORT = 9092

/** Hosts, user and password of a `kafka://` URL. Throws INVALID_ARGUMENT for one with a path. */
export function optionsFromUrl(url: TransportUrl): Readonly<Record<string, unknown>> {
  if (url.path !== '') {
    throw new StreamError(
      `a kafka:// URL has no path: '${url.redacted}'; name topics where you create producers and loops`,
      {
        code: 'INVALID_ARGUMENT',
        transport: 'kafka',
        operation: 'configure',
      },
    )
  }
  const brokers = url.hosts.map(({ host, port }) => `${bracketed(host)}:${port ?? DEFAULT_PORT}`)
  return { brokers: brokers.length === 0 ? undefined : brokers, username: url.username, password: url.password }
}

/** Returns the URL from `KAFKA_BROKERS`. */
export function environmentUrl(environment: NodeJS.ProcessEnv): string | undefined {
  const brokers = environmentText(environment, 'KAFKA_BROKERS')
  if (brokers === undefined) return undefined
  return brokers.startsWith('kafka://')
    ? brokers
    : `kafka://${brokers
        .split(',')
        .map((broker) => broker.trim())
        .join(',')}`
}

/** Checks options that contradict each other. Throws INVALID_ARGUMENT. */
export function checkOptions(options: KafkaValues): void {
  if ((options.username === undefined) === (options.password === undefined)) return
  const missing = options.username === undefined ? 'username' : 'password'
  throw new StreamError(
    `SASL needs both a username and a password: ${missing} is missing (in the URL, as an option or as KAFKA_${missing.toUpperCase()})`,
    {
      code: 'INVALID_ARGUMENT',
      transport: 'kafka',
      operation: 'configure',
    },
  )
}

/** Checks timing options of a loop that contradict each other. Throws INVALID_ARGUMENT. */
export function checkConsumerOptions(options: KafkaConsumerValues): void {
  const { heartbeatIntervalMs, sessionTimeoutMs, maxWaitMs } = options
  const slowest = Math.max(heartbeatIntervalMs, maxWaitMs)
  if (slowest * 2 < sessionTimeoutMs) return
  const name = slowest === maxWaitMs ? 'maxWaitMs' : 'heartbeatIntervalMs'
  throw new StreamError(
    `kafka.${name} (${slowest}) must be less than half of kafka.sessionTimeoutMs (${sessionTimeoutMs}): heartbeats would be sent too late`,
    {
      code: 'INVALID_ARGUMENT',
      transport: 'kafka',
      operation: 'configure',
    },
  )
}
