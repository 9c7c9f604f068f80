import { createRequire } from 'node:module'

/**
 * Those parts of kafkajs 2.2.4 that its types don't show and that this adapter relies on. Nothing else may reach into kafkajs:
 * a new version of it is checked against this file and `kafkajs-patches.ts`.
 */

interface TopicPartitions {
  readonly topic: string
  readonly partitions: readonly number[]
}

interface CommittedPartition {
  readonly partition: number
  /** `-1` when nothing was committed. */
  readonly offset: string
  readonly metadata: string | null
}

interface Coordinator {
  heartbeat(request: { groupId: string; memberId: string; groupGenerationId: number }): Promise<unknown>
  offsetFetch(request: {
    groupId: string
    topics: readonly { topic: string; partitions: readonly { partition: number }[] }[]
  }): Promise<{
    readonly responses: readonly { readonly topic: string; readonly partitions: readonly CommittedPartition[] }[]
  }>
}

export interface OffsetManager {
  getCoordinator(): Promise<Coordinator>
  /** By topic and partition. What isn't in here is asked for before the next fetch, of the coordinator and of the partition's leader. */
  committedOffsets(): Record<string, Record<number, string>>
  /** Commits under the generation that this object was made for. */
  commitOffsets(request: {
    topics: readonly { topic: string; partitions: readonly { partition: number; offset: string; metadata: string }[] }[]
  }): Promise<void>
}

/** Whose coordinator is looked for: that of a group or, by its type, of transactions. */
interface CoordinatorRequest {
  readonly groupId: string
  readonly coordinatorType: number
}

/** One broker: `src/broker/index.js`. */
export interface Broker {
  /** What the broker understands, by API key; `null` before it has said so. */
  readonly versions: Readonly<Record<number, unknown>> | null
  /** Also true of one that takes connections and answers nothing. */
  isConnected(): boolean
  /** Opens a connection, asks for versions, authenticates. */
  connect(): Promise<void>
  disconnect(): Promise<void>
  /** Set once the broker has said what it understands. */
  lookupRequest: LookUpRequest
  metadata(topics?: readonly string[]): Promise<Metadata>
  findGroupCoordinator(request: CoordinatorRequest): Promise<unknown>
  fetch(request: {
    maxWaitTime: number
    minBytes: number
    maxBytes: number
    isolationLevel: number
    topics: readonly {
      topic: string
      partitions: readonly { partition: number; fetchOffset: string; maxBytes: number }[]
    }[]
    rackId: string
  }): Promise<FetchResponse>
}

/** The protocol's highest version of a request that the broker understands as well. */
export type LookUpRequest = (apiKey: number, protocol: unknown) => (parameters: never) => unknown

export type MakeFetchRequest = (parameters: object) => {
  readonly request: { readonly apiVersion: number }
  readonly response: { decode(raw: Buffer): Promise<FetchResponse> }
}

export type MakeCreateTopicsRequest = (parameters: object) => {
  readonly response: {
    parse(data: {
      readonly topicErrors: readonly { readonly errorCode: number; readonly errorMessage?: string | null }[]
    }): Promise<unknown>
  }
}

export type MakeMetadataRequest = (parameters: {
  readonly topics: readonly string[]
  readonly allowAutoTopicCreation: false
}) => {
  readonly request: RequestDefinition
  readonly response: { decode(raw: Buffer): Promise<Metadata>; parse(metadata: Metadata): Promise<Metadata> }
}

interface PartitionMetadata {
  readonly partitionErrorCode: number
  readonly partitionId: number
  /** -1 where there is none. */
  readonly leader: number
}

export interface Metadata {
  readonly controllerId?: number
  readonly topicMetadata: readonly {
    readonly topicErrorCode: number
    readonly topic: string
    readonly partitionMetadata: readonly PartitionMetadata[]
  }[]
}

/** The brokers of a cluster: `src/cluster/brokerPool.js`. */
export interface BrokerPool {
  /** By node id; empty before metadata was asked for. */
  readonly brokers: Readonly<Record<string, Broker>>
  /** The broker that the pool came by first. */
  seedBroker: Broker | undefined
  versions: Broker['versions']
  metadata: Metadata | null
  /** When metadata is asked for again, in milliseconds since the epoch. */
  metadataExpireAt: number | null
  readonly connectionPoolBuilder: { build(server: { readonly host: string; readonly port: number }): Promise<unknown> }
  readonly rootLogger: unknown
  createBroker(options: { readonly connectionPool: unknown; readonly logger: unknown }): Broker
  hasConnectedBrokers(): boolean
  /** Forgets a broker that is gone; the seed as well where it was the last one. */
  removeBroker(address: { readonly host: string; readonly port: number }): void
  connect(): Promise<void>
  findConnectedBroker(): Promise<Broker>
  withBroker<T>(work: (found: { readonly nodeId: string; readonly broker: Broker }) => Promise<T>): Promise<T | null>
  findBroker(which: { readonly nodeId: string }): Promise<Broker>
  refreshMetadata(topics: readonly string[]): Promise<void>
}

export interface Cluster {
  readonly brokerPool: BrokerPool
  findControllerBroker(): Promise<Broker>
  connect(): Promise<void>
  disconnect(): Promise<void>
  /** Leaders by node id, with the partitions that each leads. */
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Readonly<Record<string, readonly number[]>>
  findBroker(request: { readonly nodeId: string }): Promise<Broker>
  findGroupCoordinator(request: { groupId: string }): Promise<Coordinator>
  findGroupCoordinatorMetadata(request: CoordinatorRequest): Promise<unknown>
  findTopicPartitionMetadata(topic: string): readonly PartitionMetadata[]
  /** What `fetchTopicsOffset` takes for the end: 1 the last stable offset, 0 the high watermark. */
  readonly isolationLevel: number
  /** Topics whose metadata is kept up to date. */
  readonly targetTopics: Set<string>
  /** Adds to them; those that are new are looked up. */
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>
  refreshMetadata(): Promise<void>
  fetchTopicsOffset(
    topics: readonly {
      topic: string
      partitions: readonly { partition: number }[]
      fromBeginning?: boolean
      fromTimestamp?: number
    }[],
  ): Promise<
    readonly {
      readonly topic: string
      readonly partitions: readonly { readonly partition: number; readonly offset: string }[]
    }[]
  >
}

/** One member's part in a group: `src/consumer/consumerGroup.js`. */
export interface ConsumerGroup {
  readonly cluster: Cluster
  readonly groupId: string
  readonly assigners: readonly object[]
  readonly maxWaitTime: number
  readonly maxBytes: number
  readonly maxBytesPerPartition: number
  memberId: string | null
  generationId: number | null
  coordinator: Coordinator | null
  /** Recreated with each generation. */
  offsetManager: OffsetManager | null
  /** The coordinator has had this member assign the partitions of the generation. */
  isLeader(): boolean
  assigned(): readonly TopicPartitions[]
  pause(partitions: readonly { topic: string; partitions?: readonly number[] }[]): void
  resume(partitions: readonly { topic: string; partitions?: readonly number[] }[]): void
  seek(position: { topic: string; partition: number; offset: string }): void
  joinAndSync(): Promise<void>
  /** Does nothing without a `memberId`. */
  leave(): Promise<void>
  fetch(nodeId: string): Promise<FetchedMessages[]>
  recoverFromOffsetOutOfRange(error: { topic: string; partition: number }): Promise<void>
}

/** One connection, `src/network/connection.js`: what has arrived of a response and is not whole yet, and how much is needed to go on. */
export interface Connection {
  chunks: Buffer[]
  bytesBuffered: number
  bytesNeeded: number
  isConnected(): boolean
  connect(): Promise<unknown>
}

/** The requests of one connection: `src/network/requestQueue/index.js`. */
export interface RequestQueue {
  readonly pending: readonly unknown[]
  readonly inflight: ReadonlyMap<number, SentRequest>
  /** Shortest time for an answer, in milliseconds: a request may have more. */
  readonly requestTimeout: number
  readonly enforceRequestTimeout: boolean
  requestTimeoutIntervalId: NodeJS.Timeout | undefined
  isConnected(): boolean
  /** Called with each connect. */
  scheduleRequestTimeoutCheck(): void
  /** Ends the timers. */
  destroy(): void
  readonly throttledUntil: number
  throttleCheckTimeoutId: NodeJS.Timeout | null
  checkPendingRequests(): void
  scheduleCheckPendingRequests(): void
}

interface SentRequest {
  /** By the clock of the day. */
  readonly sentAt: number
  readonly requestTimeout: number
  timeoutRequest(): void
}

/** What a Produce request is made of. */
export interface ProduceParameters {
  readonly acks: number
  readonly timeout: number
  readonly compression?: number
  /** A number of 64 bits that turns into text. */
  readonly producerId?: unknown
  readonly producerEpoch?: number
  readonly transactionalId?: string | null
  readonly topicData: readonly {
    readonly topic: string
    readonly partitions: readonly {
      readonly partition: number
      readonly firstSequence?: number
      readonly messages: readonly object[]
    }[]
  }[]
}

export interface RequestDefinition {
  readonly apiKey: number
  readonly apiVersion: number
  readonly apiName: string
  expectResponse(): boolean
  encode(): Promise<{ readonly buf: Buffer; readonly buffer: Buffer }>
}

type MakeProduceRequest = (parameters: ProduceParameters) => {
  readonly request: RequestDefinition
  readonly response: unknown
}

/** The versions of the Produce request: `src/protocol/requests/produce/index.js`. */
export interface ProduceProtocol {
  protocol(wanted: { readonly version: number }): MakeProduceRequest
}

/** What all records of a batch share. */
export interface FetchedBatch {
  readonly firstOffset: string
  readonly firstTimestamp: string
  readonly partitionLeaderEpoch: number
  readonly inTransaction: boolean
  readonly isControlBatch: boolean
  readonly lastOffsetDelta: number
  readonly producerId: string
  readonly producerEpoch: number
  readonly firstSequence: number
  readonly maxTimestamp: string
  /** 0: the sender's, 1: the broker's. */
  readonly timestampType: number
  readonly magicByte: number
}

export interface FetchedRecord {
  readonly magicByte: number
  readonly attributes: number
  readonly timestamp: string
  readonly offset: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, Buffer | null | (Buffer | null)[]>>
  readonly isControlRecord: boolean
  readonly batchContext: FetchedBatch
}

/** What one fetch brought of a partition: `src/consumer/batch.js`. */
export interface FetchedMessages {
  readonly topic: string
  readonly partition: number
  /** The offset that the fetch asked for. */
  readonly fetchedOffset: string
  /** Everything that came. */
  readonly rawMessages: readonly FetchedRecord[]
  /** What consumers get of it. */
  messages: readonly FetchedRecord[]
  /** The offset that a consumer has read when it has read this. */
  lastOffset(): string
  /** Nothing in it is for consumers, and the next fetch goes on behind it. */
  isEmptyDueToFiltering(): boolean
}

export interface FetchedPartition {
  readonly partition: number
  readonly errorCode: number
  readonly highWatermark: string
  readonly lastStableOffset: string
  readonly lastStartOffset: string
  readonly abortedTransactions: readonly { readonly producerId: string; readonly firstOffset: string }[]
  readonly preferredReadReplica: number
  readonly messages: readonly FetchedRecord[]
}

export interface FetchResponse {
  readonly throttleTime: number
  readonly clientSideThrottleTime: number
  readonly errorCode: number
  readonly sessionId: number
  readonly responses: readonly { readonly topicName: string; readonly partitions: readonly FetchedPartition[] }[]
}

/** The same connections, with the high watermark as the end of a log. */
export function withUncommitted(cluster: Cluster): Cluster {
  return Object.create(cluster, { isolationLevel: { value: 0 } }) as Cluster
}

interface ClusterSettings {
  readonly metadataMaxAge: number
  readonly allowAutoTopicCreation: boolean
  readonly isolationLevel: number
}

type MakeCluster = (settings: ClusterSettings) => Cluster

/** The connections of a client, apart from producers, consumers and admins: `src/index.js` keeps their maker under a private symbol. */
export function makeCluster(kafka: object): Cluster {
  return clusterMaker(kafka).make({ metadataMaxAge: 300_000, allowAutoTopicCreation: false, isolationLevel: 1 })
}

/** Has `prepare` called for the connections of each producer, consumer and admin of this client, before they are used. */
export function prepareClusters(kafka: object, prepare: (cluster: Cluster) => void): void {
  const { symbol, make } = clusterMaker(kafka)
  Object.defineProperty(kafka, symbol, {
    value: (settings: ClusterSettings) => {
      const cluster = make(settings)
      prepare(cluster)
      return cluster
    },
  })
}

function clusterMaker(kafka: object): { readonly symbol: symbol; readonly make: MakeCluster } {
  const symbol = privateSymbol(kafka, 'private:Kafka:createCluster')
  return { symbol, make: (kafka as Record<symbol, MakeCluster>)[symbol] as MakeCluster }
}

/** Sends one request to a broker and resolves with what its answer was parsed to. */
export function sendRequest(broker: Broker, request: ReturnType<MakeMetadataRequest>): Promise<Metadata> {
  const symbol = privateSymbol(Object.getPrototypeOf(broker) as object, 'private:Broker:sendRequest')
  type Send = (this: Broker, sent: ReturnType<MakeMetadataRequest>) => Promise<Metadata>
  return ((broker as unknown as Record<symbol, Send>)[symbol] as Send).call(broker, request)
}

function privateSymbol(owner: object, name: string): symbol {
  const symbol = Object.getOwnPropertySymbols(owner).find(({ description }) => description === name)
  if (symbol === undefined) throw new TypeError('this version of kafkajs is not the one that this adapter was made for')
  return symbol
}

const load = createRequire(import.meta.url)

export const consumerGroupPrototype = (load('kafkajs/src/consumer/consumerGroup.js') as { prototype: ConsumerGroup })
  .prototype
export const connectionPrototype = (load('kafkajs/src/network/connection.js') as { prototype: Connection }).prototype
export const requestQueuePrototype = (load('kafkajs/src/network/requestQueue/index.js') as { prototype: RequestQueue })
  .prototype
export const clusterPrototype = (load('kafkajs/src/cluster/index.js') as { prototype: Cluster }).prototype
export const metadataProtocol: unknown = load('kafkajs/src/protocol/requests/metadata/index.js')
/** Makes the error that kafkajs throws for an error code of the protocol. */
export const { createErrorFromCode } = load('kafkajs/src/protocol/error.js') as {
  createErrorFromCode(code: number): Error
}
export const produceProtocol = load('kafkajs/src/protocol/requests/produce/index.js') as ProduceProtocol
