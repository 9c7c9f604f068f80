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

/** Bounds on what a topic keeps. Left out: the broker's own default. */
export interface Retention {
  /** Oldest age that is kept, in milliseconds. */
  readonly maxAgeMs?: number | undefined
  /** Size per partition, in bytes. */
  readonly maxBytes?: number | undefined
  /** Messages per partition, where the broker counts them. */
  readonly maxMessages?: number | undefined
}

/** Whether topics and groups are made, checked or taken as given. */
export type Provision = 'create' | 'verify' | 'none'

/** A topic as a driver sees it. */
export interface TopicSpec {
  /** As the user names it. */
  readonly topic: string
  /** What it is called on the broker: `prefix` and name, or a native name as it is, which may be any text that `nativeNames` lets pass. */
  readonly brokerTopic: string
  /** What everything that belongs to the topic is named after: `brokerTopic` in safe characters (`A-Z a-z 0-9 . _ -`, at most 150), by `escapeName`. */
  readonly derivedName: string
  /** What headers and ids call it, for every service that uses it: `topic`, of a native one `brokerTopic`. */
  readonly origin: string
  /** It has a native name: it is not ours, and stays as it is found. */
  readonly native: boolean
  /** It is below the transport's prefix. False for a native topic, and for dead letters of one, which services with other prefixes share. */
  readonly prefixed: boolean
  /** `undefined`: what exists, else 1. A different count on the broker is CONFLICT. */
  readonly partitions: number | undefined
  readonly retention: Retention
  readonly provision: Provision
  /** The same for groups of it. Left out: as `provision`. A topic that is native, or that a pattern found, is never made, and its groups are. */
  readonly groups?: Provision
  /**
   * A dead-letter topic must keep what is written to it although nobody may be reading yet: where topics keep nothing without a group,
   * it is made with `DEAD_LETTER_GROUP`, the one that reads it for `transport.deadLetters`.
   */
  readonly role: 'topic' | 'dead-letters'
  /** A loop or producer of this transport that was opened without `partitions`, and so may have created the topic with 1: for `partitionConflict`. */
  readonly openedWithoutPartitions?: string | undefined
}

/** What a producer driver is made from. `Extra` holds the adapter's own options for producers. */
export interface ProducerSpec<Extra = unknown> {
  readonly topic: TopicSpec
  /** What the codec says of its bytes, for foreign readers; `undefined` where it isn't known (dead letters). */
  readonly contentType?: string | undefined
  /** The one group that the records are for (a replay of its dead letters): they may go to it past all others, and all of them carry its name in a header. */
  readonly onlyGroup?: GroupNames | undefined
  readonly options: Extra
}

/** What a consumer driver is made from. `Extra` holds the adapter's own options for consumers. */
export interface ConsumerSpec<Extra = unknown> {
  readonly topics: readonly TopicSpec[]
  /** As the user names it. */
  readonly group: string
  /** What it is called on the broker: `prefix` and name, or a native name as it is. */
  readonly brokerGroup: string
  /** What everything that belongs to the group is named after: see `TopicSpec.derivedName`. */
  readonly derivedGroup: string
  /** What headers and ids call it: `group`, of a native one `brokerGroup`. */
  readonly groupOrigin: string
  /** Names this member within its group; unique per process and loop unless the user fixed it. */
  readonly member: string
  readonly ordering: 'key' | 'none'
  /** Where a group that is new starts: see `startOf`. Where it says nothing: earliest where history exists. */
  readonly from: StartPosition | PartitionPositions | undefined
  /** How many unsettled deliveries this member should hold at most: a prefetch for brokers that push. */
  readonly prefetch: number
  /** How long one handling may take, retries and their waiting included, in milliseconds: the lower bound of a broker's ack timeout. */
  readonly maxHandlingMs: number
  /** How many handler starts a message may have. `undefined`: any number. */
  readonly maxAttempts?: number | undefined
  readonly options: Extra
}

/** A group as the user and the broker call it. See the fields of the same names in {@link ConsumerSpec}. */
export interface GroupNames {
  readonly group: string
  readonly brokerGroup: string
  readonly derivedGroup: string
  readonly groupOrigin: string
  /** It has a native name. */
  readonly nativeGroup: boolean
}

/** Which native names a broker can hold: each function returns its rule where a name breaks it (`must be …`). */
export interface NativeNameRules {
  topic(name: string): string | undefined
  group(name: string): string | undefined
}

/** What core gives an adapter besides its options. */
export interface TransportContext {
  readonly logger: Logger
  /** Names this process towards the broker. */
  readonly clientId: string
  /** Goes before every name made on the broker, apart from native ones. Already part of `brokerTopic` and `brokerGroup`. */
  readonly prefix: string
  /** Native names by portable ones, for adapters that meet names outside of specs. Already part of these. */
  readonly nativeTopics: Readonly<Record<string, { readonly name: string }>>
  readonly nativeGroups: Readonly<Record<string, { readonly name: string }>>
  /** Capabilities that the service can't do without, where the transport has them only in part. */
  readonly requires: readonly CapabilityName[]
  /** What the adapter's own variables are read from. */
  readonly environment: NodeJS.ProcessEnv
}

/** One topic of a broker, as `Admin.topics` lists it. */
export interface TopicInfo {
  readonly topic: string
  readonly partitions: number
}

/** Looks at and changes topics, apart from any running producer or loop. Calls connect by themselves. */
export interface Admin {
  /** Makes or checks a topic, as `spec.provision` says. Rejects with CONFLICT when it exists with another partition count, NOT_FOUND when it is to be verified and missing. */
  provision(spec: TopicSpec): Promise<TopicInfo>
  /** Every topic below the prefix. */
  topics(): Promise<readonly TopicInfo[]>
  /**
   * Lag of a group, per partition. NOT_FOUND when topic or group are missing.
   *
   * @param brokerGroup - as `transport.brokerGroup` gives it.
   */
  lag(spec: TopicSpec, brokerGroup: string): Promise<readonly PartitionLag[]>
  /** Deletes a topic with everything in it and all that was made for it. Missing ones are no error. */
  deleteTopic(spec: TopicSpec): Promise<void>
}

/** A loop by pattern, on a transport that knows topics only once somebody sends to them. */
export interface TopicSearch {
  /** The loop's group, as the user names it. */
  readonly group: string
  /** What it is called on the broker. */
  readonly brokerGroup: string
  /** The adapter's options of the loop. */
  readonly options: unknown
  /** Whether the loop takes a topic of this name, given without prefix. */
  accepts(topic: string): boolean
  /** Has the loop join a topic. Resolves when it has; rejects when it can't or is being closed. May be called again. */
  found(topic: string): Promise<void>
  /** Has the loop leave a topic, in good order, as if it had never been found. Resolves when it has; rejects when it is being closed. */
  left(topic: string): Promise<void>
}

/** A search that is under way. */
export interface TopicDiscovery {
  /** Ends it. Never rejects. */
  close(): Promise<void>
}

/** One open transport: what producers and loops of one `openTransport` share. */
export interface TransportDriver {
  /** The underlying client, or `undefined` while there is none. For what Streamswitch doesn't cover. */
  readonly native: unknown
  readonly admin: Admin
  producer(spec: ProducerSpec, sink: ProducerSink): ProducerDriver
  consumer(spec: ConsumerSpec, sink: ConsumerSink): ConsumerDriver
  /**
   * For transports whose `Admin.topics` can't say what may be received: calls `search.found` for each accepted topic that a sender
   * names, and holds the sender's message until it has resolved. Resolves once senders can reach this process. Elsewhere core
   * looks for topics by `Admin.topics`.
   */
  discover?(search: TopicSearch, signal: AbortSignal): Promise<TopicDiscovery>
  /** How replies travel. Left out: by ordinary topics, without any work of the adapter's. */
  readonly replies?: ReplyChannel
  /** Called after all producers and loops have been closed. Never rejects. */
  close(): Promise<void>
}

/** An adapter: what its package exports as `default`, and what `registerAdapter` takes. */
export interface AdapterDefinition {
  /** Its name in `PRODUCERS`, `CONSUMER_LOOPS` and `STREAMSWITCH_TRANSPORT`. */
  readonly name: string
  /** URL schemes without the colon, for example `['redis', 'rediss']`. */
  readonly schemes: readonly string[]
  readonly capabilities: Capabilities
  /** What its producer drivers can write again as it came. Default: a received message holds nothing beyond the portable form. */
  readonly nativeForm?: NativeForm
  /** Who re-establishes connections: core (by a fresh driver), or the transport needs none. */
  readonly reconnects: 'core' | 'never'
  /** Where to connect when only the transport's name is given and none of its variables is set. */
  readonly defaultUrl: string
  /** The URL that the adapter's own variables (`REDIS_URL`, `KAFKA_BROKERS`, …) make, if they are set. */
  environmentUrl(environment: NodeJS.ProcessEnv): string | undefined
  /** Transport options: the `options` of `openTransport`, the URL's query, the environment. */
  readonly options: OptionFields
  /** Options of producers, below the adapter's name: `transport.producer('orders', { redis: { … } })`. */
  readonly producerOptions: OptionFields
  /** Options of loops, below the adapter's name. */
  readonly consumerOptions: OptionFields
  /**
   * The options that stand in a URL apart from its query: hosts, user, password, path. Throws INVALID_ARGUMENT, without the
   * password, where the URL isn't one of this adapter's.
   */
  optionsFromUrl(url: TransportUrl): Readonly<Record<string, unknown>>
  /** Native names of topics and groups that exist on the broker. Left out: there are none, and asking for one is UNSUPPORTED. */
  readonly nativeNames?: NativeNameRules
  /** Makes the transport. No I/O: connections are opened by drivers and `Admin` calls. May throw INVALID_ARGUMENT for options that don't go together. */
  connect(options: OptionValues<OptionFields>, context: TransportContext): TransportDriver
  /** The adapter's table of native errors. */
  classifyError(native: unknown, operation: string, topic?: string): StreamError
  /** The named subclasses. A function, so that adapter and classes may refer to each other. */
  classes(): { readonly Producer: ProducerClass; readonly ConsumerLoop: ConsumerLoopClass }
}
