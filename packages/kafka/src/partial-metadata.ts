import {
  type Broker,
  type BrokerPool,
  type Cluster,
  createErrorFromCode,
  type MakeMetadataRequest,
  type Metadata,
  metadataProtocol,
  sendRequest,
} from './kafkajs-internals.js'

const METADATA = 3
/**
 * Only brokers coordinated by ZooKeeper support this (LeaderAndIsr). All others forward requests for the controller to
 * it.
 */
const ZOOKEEPER_ONLY = 4

/** From this version on the request says whether topics may be created. */
const WITH_CREATION = 4

/** Error codes of a partition that can't be used now. */
const LEADERLESS_CODES: ReadonlySet<number> = new Set([
  5, // LEADER_NOT_AVAILABLE
  9, // REPLICA_NOT_AVAILABLE
  72, // LISTENER_NOT_FOUND
])

/** How soon metadata is requested again while a partition has no leader, in milliseconds. */
const LEADER_AGAIN_MS = 250
/** The same while a topic is missing. */
const TOPIC_AGAIN_MS = 2_000

const UNKNOWN_TOPIC = 3

/** Stands for no topic at all; to kafkajs an empty list means all topics. */
const NO_TOPICS: readonly string[] = []

/**
 * Isolates unusable partitions. kafkajs requests the metadata of all topics of the cluster when it needs none
 * (producers that connect, topics that are created), and fails altogether when one partition of one topic has no
 * leader, without naming it. Here only the topics in use are requested, a partition without leader fails when it is
 * used, and a topic that is missing among others has no partitions.
 */
export function keepLeadersApart(cluster: Cluster): void {
  const { brokerPool: pool } = cluster
  const { createBroker, refreshMetadata } = pool
  pool.createBroker = (options) => tolerant(createBroker.call(pool, options))
  pool.refreshMetadata = async (topics) => {
    await refreshMetadata.call(pool, topics.length === 0 ? NO_TOPICS : topics)
    const soonMs = soonerMs(pool.metadata)
    if (soonMs !== undefined) pool.metadataExpireAt = Math.min(pool.metadataExpireAt ?? 0, Date.now() + soonMs)
  }
  const { findLeaderForPartitions } = cluster
  cluster.findLeaderForPartitions = function (this: Cluster, topic, partitions) {
    const missing = leaderlessOf(this, topic).find((partition) => partitions.some((one) => Number(one) === partition))
    if (missing !== undefined) throw noLeader(topic, missing)
    return findLeaderForPartitions.call(this, topic, partitions)
  }
  preferConnected(cluster, pool)
}

/** Returns the partitions of a topic that have no leader now. */
export function leaderlessOf(cluster: Cluster, topic: string): number[] {
  return cluster
    .findTopicPartitionMetadata(topic)
    .filter(({ leader }) => leader < 0)
    .map(({ partitionId }) => partitionId)
}

/** Returns the error for a partition without leader, as kafkajs would throw it, with the partition's name. */
export function noLeader(topic: string, partition: number): Error {
  const error = createErrorFromCode(5)
  error.message = `partition ${partition} of topic '${topic}' has no leader`
  return error
}

/**
 * Brokers that are connected have answered before; of the others kafkajs picks one at random, which may be dead or
 * frozen.
 */
function preferConnected(cluster: Cluster, pool: BrokerPool): void {
  const { findControllerBroker } = cluster
  cluster.findControllerBroker = async function (this: Cluster) {
    const broker = connectedOf(pool)[0]?.[1]
    const passesOn = pool.versions !== null && !(ZOOKEEPER_ONLY in pool.versions)
    return passesOn && broker !== undefined ? broker : findControllerBroker.call(this)
  }
  const { withBroker } = pool
  pool.withBroker = async (work) => {
    for (const [nodeId, broker] of connectedOf(pool)) {
      try {
        return await work({ nodeId, broker })
      } catch {
        // The next one may work; a failure of all is handled below.
      }
    }
    return withBroker.call(pool, work) as ReturnType<typeof work>
  }
}

/** The broker by which the cluster was found is first. */
function connectedOf({ brokers, seedBroker }: BrokerPool): [nodeId: string, broker: Broker][] {
  const connected = Object.entries(brokers).filter(([, broker]) => broker.isConnected())
  return connected.sort(([, left], [, right]) => Number(right === seedBroker) - Number(left === seedBroker))
}

function tolerant(broker: Broker): Broker {
  broker.metadata = async (topics = []) => {
    const make = broker.lookupRequest(METADATA, metadataProtocol) as MakeMetadataRequest
    const { request, response } = make({ topics, allowAutoTopicCreation: false })
    const sent = topics === NO_TOPICS ? { ...request, encode: () => encodeNoTopics(request.apiVersion) } : request
    return sendRequest(broker, {
      request: sent,
      response: { ...response, parse: (metadata) => parse(response, metadata) },
    })
  }
  return broker
}

async function encodeNoTopics(version: number): Promise<{ buf: Buffer; buffer: Buffer }> {
  const buffer = Buffer.alloc(version >= WITH_CREATION ? 5 : 4)
  return { buf: buffer, buffer }
}

/**
 * Keeps partitions without leader, with leader -1, and of several topics those that don't exist, without partitions.
 */
async function parse(
  { parse: strict }: { parse(metadata: Metadata): Promise<Metadata> },
  metadata: Metadata,
): Promise<Metadata> {
  const isBearable = metadata.topicMetadata.some(({ topicErrorCode }) => topicErrorCode !== UNKNOWN_TOPIC)
  const topicMetadata = metadata.topicMetadata.map((topic) => ({
    ...topic,
    topicErrorCode: isBearable && topic.topicErrorCode === UNKNOWN_TOPIC ? 0 : topic.topicErrorCode,
    partitionMetadata: topic.partitionMetadata.map((partition) =>
      LEADERLESS_CODES.has(partition.partitionErrorCode) ? { ...partition, partitionErrorCode: 0 } : partition,
    ),
  }))
  return strict({ ...metadata, topicMetadata })
}

/** Returns how soon to request again when something is missing. */
function soonerMs(metadata: Metadata | null): number | undefined {
  const topics = metadata?.topicMetadata ?? []
  if (topics.some(({ partitionMetadata }) => partitionMetadata.some(({ leader }) => leader < 0))) return LEADER_AGAIN_MS
  return topics.some(({ partitionMetadata }) => partitionMetadata.length === 0) ? TOPIC_AGAIN_MS : undefined
}
