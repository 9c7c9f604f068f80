import type { ConsumerLoopClass } from '../consumer/consumer-loop.js'
import type { StreamError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { OptionFields, OptionValues } from '../options/fields.js'
import type { ProducerClass } from '../producer/producer.js'
import type { TransportUrl } from '../transport/url.js'
import type { Capabilities, CapabilityName } from './capabilities.js'
import type {
  ConsumerDriver,
  ConsumerSink,
  PartitionLag,
  PartitionPositions,
  StartPosition,
} from './consumer-driver.js'
import type { NativeForm } from './native-form.js'
import type { ProducerDriver, ProducerSink } from './producer-driver.js'
import type { ReplyChannel } from './replies.js'

/** Limits on what a topic keeps. Default: the broker's own. */
export interface Retention {
  /** Maximum age, in milliseconds. */
  readonly maxAgeMs?: number | undefined
  /** Maximum size per partition, in bytes. */
  readonly maxBytes?: number | undefined
  /** Maximum number of messages per partition, where the broker counts them. */
  readonly maxMessages?: number | undefined
}

/** Whether topics and groups are created, verified or assumed to exist. */
export type Provision = 'create' | 'verify' | 'none'

/** A topic as a driver sees it. */
export interface TopicSpec {
  /** The name that the user gave. */
  readonly topic: string
  /**
   * Name on the broker: `prefix` and name, or the native name unchanged, which may be any string that `nativeNames`
   * accepts.
   */
  readonly brokerTopic: string
  /**
   * Base for the names of everything that belongs to the topic: `brokerTopic` in safe characters (`A-Z a-z 0-9 . _ -`,
   * at most 150), by `escapeName`.
   */
  readonly derivedName: string
  /** Name in headers and ids, the same for every service that uses it: `topic`; for a native one `brokerTopic`. */
  readonly origin: string
  /** It has a native name: it isn't ours and is never changed. */
  readonly native: boolean
  /**
   * Its name begins with the transport's prefix. False for a native topic and for its dead letters, which services with
   * other prefixes share.
   */
  readonly prefixed: boolean
  /** undefined`: the existing count, else 1. A different count on the broker is CONFLICT. */
  readonly partitions: number | undefined
  readonly retention: Retention
  readonly provision: Provision
  /**
   * The same for groups of the topic. Default: as `provision`. A topic that is native, or that a pattern found, is
   * never created, but its groups are.
   */
  readonly groups?: Provision
  /**
   * A dead-letter topic must keep what is written to it even when there is no reader yet: where topics keep nothing
   * without a group, it is created with `DEAD_LETTER_GROUP`, the one that reads it for `transport.deadLetters`.
   */
  readonly role: 'topic' | 'dead-letters'
  /**
   * A loop or producer of this transport that was opened without `partitions`, and so may have created the topic with
   * 1: for `partitionConflict`.
   */
  readonly openedWithoutPartitions?: string | undefined
}

/** Settings of a producer driver. `Extra` holds the adapter's own options for producers. */
export interface ProducerSpec<Extra = unknown> {
  readonly topic: TopicSpec
  /** Content type of the codec, for other clients; `undefined` when unknown (dead letters). */
  readonly contentType?: string | undefined
  /**
   * The only group that the records are for (a replay of its dead letters): they may be written directly to it, and all
   * of them carry its name in a header.
   */
  readonly onlyGroup?: GroupNames | undefined
  readonly options: Extra
}

/** Settings of a consumer driver. `Extra` holds the adapter's own options for consumers. */
export interface ConsumerSpec<Extra = unknown> {
  readonly topics: readonly TopicSpec[]
  /** The name that the user gave. */
  readonly group: string
  /** Name on the broker: `prefix` and name, or the native name unchanged. */
  readonly brokerGroup: string
  /** Base for the names of everything that belongs to the group: see `TopicSpec.derivedName`. */
  readonly derivedGroup: string
  /** Name in headers and ids: `group`; for a native one `brokerGroup`. */
  readonly groupOrigin: string
  /** Member name within the group; unique per process and loop unless the user set it. */
  readonly member: string
  readonly ordering: 'key' | 'none'
  /** Where a new group starts: see `startOf`. If unset: earliest where history exists. */
  readonly from: StartPosition | PartitionPositions | undefined
  /** Maximum number of unsettled deliveries that this member should hold: a prefetch for brokers that push. */
  readonly prefetch: number
  /**
   * Maximum time of handling one message, including retries and their backoff, in milliseconds: the minimum for a
   * broker's ack timeout.
   */
  readonly maxHandlingMs: number
  /** Maximum number of handler starts of a message. `undefined`: unlimited. */
  readonly maxAttempts?: number | undefined
  readonly options: Extra
}

/** The names of a group. See the fields of the same names in {@link ConsumerSpec}. */
export interface GroupNames {
  readonly group: string
  readonly brokerGroup: string
  readonly derivedGroup: string
  readonly groupOrigin: string
  /** It has a native name. */
  readonly nativeGroup: boolean
}

/** Rules for native names on a broker: each function returns the rule that a name violates (`must be …`). */
export interface NativeNameRules {
  topic(name: string): string | undefined
  group(name: string): string | undefined
}

/** What core passes to an adapter besides its options. */
export interface TransportContext {
  readonly logger: Logger
  /** Name of this process, reported to the broker. */
  readonly clientId: string
  /**
   * Prefix of every name created on the broker, except native ones. Already part of `brokerTopic` and `brokerGroup`.
   */
  readonly prefix: string
  /** Native names by portable ones, for adapters that meet names outside of specs. Already applied in specs. */
  readonly nativeTopics: Readonly<Record<string, { readonly name: string }>>
  readonly nativeGroups: Readonly<Record<string, { readonly name: string }>>
  /** Capabilities that the service requires, where the transport has them only in part. */
  readonly requires: readonly CapabilityName[]
  /** Source of the adapter's own environment variables. */
  readonly environment: NodeJS.ProcessEnv
}

/** One topic of a broker, as `Admin.topics` lists it. */
export interface TopicInfo {
  readonly topic: string
  readonly partitions: number
}

/** Lists, creates and deletes topics, independently of running producers and loops. Calls connect automatically. */
export interface Admin {
  /**
   * Creates or verifies a topic, as `spec.provision` says. Rejects with CONFLICT when it exists with another partition
   * count, NOT_FOUND when it is to be verified and is missing.
   */
  provision(spec: TopicSpec): Promise<TopicInfo>
  /** Every topic below the prefix. */
  topics(): Promise<readonly TopicInfo[]>
  /**
   * Returns the lag of a group, per partition. NOT_FOUND when topic or group are missing.
   *
   * @param brokerGroup - as `transport.brokerGroup` returns it.
   */
  lag(spec: TopicSpec, brokerGroup: string): Promise<readonly PartitionLag[]>
  /** Deletes a topic with everything in it and everything created for it. Missing ones are not an error. */
  deleteTopic(spec: TopicSpec): Promise<void>
}

/** A loop by pattern, on a transport that learns about topics only when something is sent to them. */
export interface TopicSearch {
  /** The loop's group, as the user names it. */
  readonly group: string
  /** Its name on the broker. */
  readonly brokerGroup: string
  /** The adapter's options of the loop. */
  readonly options: unknown
  /** Whether the loop accepts a topic of this name, given without prefix. */
  accepts(topic: string): boolean
  /**
   * Makes the loop join a topic. Resolves when it has; rejects when it can't or is being closed. May be called again.
   */
  found(topic: string): Promise<void>
  /**
   * Makes the loop leave a topic cleanly, as if it had never been found. Resolves when it has; rejects when it is being
   * closed.
   */
  left(topic: string): Promise<void>
}

/** A running search. */
export interface TopicDiscovery {
  /** Ends it. Never rejects. */
  close(): Promise<void>
}

/** One open transport: what producers and loops of one `openTransport` share. */
export interface TransportDriver {
  /** The underlying client, or `undefined` while there is none. For features that Streamswitch doesn't cover. */
  readonly native: unknown
  readonly admin: Admin
  producer(spec: ProducerSpec, sink: ProducerSink): ProducerDriver
  consumer(spec: ConsumerSpec, sink: ConsumerSink): ConsumerDriver
  /**
   * For transports whose `Admin.topics` can't list what may be received: calls `search.found` for each accepted topic
   * that a sender names, and holds the sender's message until that has resolved. Resolves once senders can reach this
   * process. Otherwise core polls `Admin.topics`.
   */
  discover?(search: TopicSearch, signal: AbortSignal): Promise<TopicDiscovery>
  /** Channel for replies. Default: ordinary topics, without any work of the adapter. */
  readonly replies?: ReplyChannel
  /** Called after all producers and loops have been closed. Never rejects. */
  close(): Promise<void>
}

/** An adapter: the `default` export of its package, and the argument of `registerAdapter`. */
export interface AdapterDefinition {
  /** Its name in `PRODUCERS`, `CONSUMER_LOOPS` and `STREAMSWITCH_TRANSPORT`. */
  readonly name: string
  /** URL schemes without the colon, for example `['redis', 'rediss']`. */
  readonly schemes: readonly string[]
  readonly capabilities: Capabilities
  /**
   * The format that its producer drivers can write unchanged. Default: a received message holds nothing beyond the
   * portable form.
   */
  readonly nativeForm?: NativeForm
  /** What re-establishes connections: core (by a fresh driver), or nothing, since the transport has none. */
  readonly reconnects: 'core' | 'never'
  /** Address when only the transport's name is given and none of its variables is set. */
  readonly defaultUrl: string
  /** Returns the URL from the adapter's own variables (`REDIS_URL`, `KAFKA_BROKERS`, …), if they are set. */
  environmentUrl(environment: NodeJS.ProcessEnv): string | undefined
  /** Transport options: the `options` of `openTransport`, the URL's query, the environment. */
  readonly options: OptionFields
  /** Options of producers, under the adapter's name: `transport.producer('orders', { redis: { … } })`. */
  readonly producerOptions: OptionFields
  /** Options of loops, under the adapter's name. */
  readonly consumerOptions: OptionFields
  /**
   * Returns the options in a URL apart from its query: hosts, user, password, path. Throws INVALID_ARGUMENT, without
   * the password, when the URL isn't one of this adapter's.
   */
  optionsFromUrl(url: TransportUrl): Readonly<Record<string, unknown>>
  /** Rules for native names of existing topics and groups. Default: native names are UNSUPPORTED. */
  readonly nativeNames?: NativeNameRules
  /**
   * Creates the transport. No I/O: connections are opened by drivers and `Admin` calls. May throw INVALID_ARGUMENT for
   * options that contradict each other.
   */
  connect(options: OptionValues<OptionFields>, context: TransportContext): TransportDriver
  /** Classifies a native error, by the adapter's table. */
  classifyError(native: unknown, operation: string, topic?: string): StreamError
  /** The named subclasses. A function, so that adapter and classes may refer to each other. */
  classes(): { readonly Producer: ProducerClass; readonly ConsumerLoop: ConsumerLoopClass }
}
