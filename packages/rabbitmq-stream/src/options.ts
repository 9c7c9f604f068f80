import {
  environmentText,
  hostsOption,
  hostTexts,
  type OptionInput,
  type OptionValues,
  option,
  secretOption,
  type TlsOptions,
  type TransportUrl,
  tlsFields,
} from '@streamswitch/core/driver'

/** Maximum payload that certainly fits a frame of 1 MiB, including its id and timestamp. */
export const MAX_PAYLOAD_BYTES = 1_048_000
/** Enough for every batch that isn't built to exhaust memory. */
export const MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024

/** Options of the RabbitMQ Streams transport: `rabbitmq-stream://user:password@host:5552,other:5552/vhost?loadBalancer=true`. */
export const streamFields = {
  ...tlsFields,
  /**
   * Brokers of one cluster, as `host` or `host:port`, tried in turn. In a URL they are its hosts.
   * @default ['127.0.0.1']
   */
  hosts: hostsOption({ default: ['127.0.0.1'] }),
  /**
   * Whether to connect by TLS. Set by `rabbitmq-stream+tls://`.
   * @default false
   */
  tls: option.flag({ default: false }),
  /**
   * User name.
   * @default 'guest'
   */
  username: option.text({ default: 'guest', environment: 'RABBITMQ_STREAM_USERNAME' }),
  /**
   * Password: a string, `{ file }` or a function; files and functions are read again at each connect. Default: `guest`
   * for the user `guest`.
   */
  password: secretOption({ environment: 'RABBITMQ_STREAM_PASSWORD' }),
  /**
   * Virtual host. In a URL it is the path.
   * @default '/'
   */
  vhost: option.text({ default: '/', environment: 'RABBITMQ_STREAM_VHOST' }),
  /**
   * Set it when the hosts are a load balancer: nodes are reached through it, by connecting until the right one answers.
   * Default: nodes are reached at the addresses that they advertise.
   * @default false
   */
  loadBalancer: option.flag({ default: false }),
  /**
   * Interval of heartbeats, in seconds; a silent peer is given up after two of them. The broker may request a shorter
   * one.
   * @default 10
   */
  heartbeatSeconds: option.integer({ default: 10, min: 1, max: 3_600 }),
  /**
   * Maximum time for one call to the broker, in milliseconds; then the connection counts as dead. Up to six times as
   * long while chunks arrive.
   * @default 10000 (10 s)
   */
  callTimeoutMs: option.integer({ default: 10_000, min: 100, max: 600_000 }),
  /**
   * Maximum payload, in bytes. Streams accept frames of up to 1 MiB by default, everything included.
   * @default 1048000
   */
  maxPayloadBytes: option.integer({ default: MAX_PAYLOAD_BYTES, min: 1, max: MAX_PAYLOAD_BYTES }),
  /**
   * Number of nodes that keep a copy of created streams (`initial-cluster-size`). Default: the broker's own, every node
   * of the cluster.
   */
  replicas: option.integer({ min: 1, max: 255 }),
  /**
   * Size of a stream's segment files, in bytes (`stream-max-segment-size-bytes`); retention drops whole files. Default:
   * the broker's own, 500 MB; with retention, a quarter of its `maxBytes` or 50 MB.
   */
  segmentBytes: option.integer({ min: 1_000_000, max: 3_000_000_000 }),
  /** Base URL of the management API, which is needed to list topics. Default: port 15672 of the first host. */
  managementUrl: option.text({ environment: 'RABBITMQ_MANAGEMENT_URL' }),
}

/** Options of producers, under `rabbitmq-stream`. */
export const streamProducerFields = {
  /**
   * Name under which the broker drops records that it has already stored, by `sequence`. Only one live producer may use
   * it. Default: a resend after a lost connection may duplicate.
   */
  publisherName: option.text(),
  /**
   * Number of records sent as one batch of sub-entries. 1: each separately. Can't be combined with `publisherName`.
   * @default 1
   */
  subEntrySize: option.integer({ default: 1, min: 1, max: 65_535 }),
  /**
   * Compression of batches of sub-entries. Takes effect if `subEntrySize` is above 1.
   * @default 'none'
   */
  compression: option.choice(['none', 'gzip'], { default: 'none' }),
  /** Header whose value becomes the record's filter value, for loops with `filterValues`. */
  filterHeader: option.text(),
  /**
   * Keys that get a partition each, instead of hashing: a message goes to the partition that is bound to its key; other
   * keys are NOT_FOUND.
   */
  bindingKeys: option.texts(),
}

/** Options of loops, under `rabbitmq-stream`. */
export const streamConsumerFields = {
  /**
   * Number of chunks that the broker may send ahead, per partition. A chunk holds what was written at once: up to
   * several thousand messages.
   * @default 5
   */
  chunksAhead: option.integer({ default: 5, min: 1, max: 1_000 }),
  /**
   * Maximum decompressed size of a batch of sub-entries, in bytes. A larger one stops its partition.
   * @default 67108864 (64 MiB)
   */
  maxDecompressedBytes: option.integer({ default: MAX_DECOMPRESSED_BYTES, min: 1024 }),
  /**
   * Minimum time between two stored offsets of a partition, in milliseconds. Each uses an offset of the stream.
   * @default 200
   */
  commitIntervalMs: option.integer({ default: 200, min: 0 }),
  /**
   * Maximum time for running handlers when a partition moves to another member, in milliseconds.
   * @default 10000 (10 s)
   */
  handoverTimeoutMs: option.integer({ default: 10_000, min: 100 }),
  /**
   * Receive only messages with one of these filter values: the broker skips chunks without any, the loop skips the
   * remaining messages by `filterHeader`. Skipped messages count as done once a later one arrives.
   */
  filterValues: option.texts(),
  /** Header that holds the filter value, as at the producer. Required with `filterValues`. */
  filterHeader: option.text(),
  /**
   * With `filterValues`: also receive messages without a filter value.
   * @default false
   */
  matchUnfiltered: option.flag({ default: false }),
  /** As at the producer, for creating a missing topic. */
  bindingKeys: option.texts(),
}

export type RabbitmqStreamOptions = OptionInput<Omit<typeof streamFields, keyof TlsOptions>> & TlsOptions
export type RabbitmqStreamProducerOptions = OptionInput<typeof streamProducerFields>
export type RabbitmqStreamConsumerOptions = OptionInput<typeof streamConsumerFields>

declare module '@streamswitch/core/driver' {
  interface AdapterOptionTypes {
    readonly 'rabbitmq-stream': {
      readonly producer: RabbitmqStreamProducerOptions
      readonly consumer: RabbitmqStreamConsumerOptions
    }
  }
}
export type StreamSettings = OptionValues<typeof streamFields>
export type StreamProducerSettings = OptionValues<typeof streamProducerFields>
export type StreamConsumerSettings = OptionValues<typeof streamConsumerFields>

export function optionsFromUrl(url: TransportUrl): Readonly<Record<string, unknown>> {
  return {
    hosts: hostTexts(url),
    tls: url.scheme === 'rabbitmq-stream+tls' ? true : undefined,
    username: url.username,
    password: url.password,
    vhost: url.path === '' ? undefined : url.path,
  }
}

export function environmentUrl(environment: NodeJS.ProcessEnv): string | undefined {
  return environmentText(environment, 'RABBITMQ_STREAM_URL')
}
