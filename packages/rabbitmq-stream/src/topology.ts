import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { partitionConflict, type Retention, type TopicSpec, topicMissing } from '@streamswitch/core/driver'
import { NoLeader, ResponseCode } from './client-patches/server-error.js'
import type { StreamClient } from './client-patches/stream-client.js'
import type { ConnectionSource } from './connection.js'
import { failure, hasCode, nameTaken, queueLimitReached, TRANSPORT } from './errors.js'
import { acquireLock } from './named-lock.js'
import type { StreamSettings } from './options.js'

const LEADER_POLL_MS = 50
/** How long a super stream that somebody else makes may be incomplete, in milliseconds. */
const GROWING_MS = 1_000
const DEFAULT_RETAINED_SEGMENT_BYTES = 50_000_000
const MIN_SEGMENT_BYTES = 1_000_000

/** Where clients wait for one another. Not a topic. */
export const LOCK_STREAM = 'streamswitch.locks'
const LOCK_WAIT_MS = 10_000

/** The streams of a topic, by partition. */
export interface Topology {
  readonly streams: readonly string[]
  /** The super stream, where there are several partitions: what makes the broker spread them over a group. */
  readonly superStream: string | undefined
}

/**
 * Makes or checks a topic (a native one may have streams and binding keys of any names, several keys to a stream): a plain stream for one partition, else a super stream whose partitions are called `<topic>-0`, …, or
 * `<topic>-<binding key>`, as RabbitMQ's own tools call them. Rejects with NOT_FOUND or CONFLICT.
 */
export async function ensureTopic(
  client: StreamClient,
  wanted: TopicSpec,
  source: ConnectionSource,
  bindingKeys?: readonly string[],
): Promise<Topology> {
  const isKeyed = bindingKeys !== undefined && (!wanted.native || wanted.provision === 'create')
  const spec = isKeyed ? { ...wanted, partitions: bindingKeys.length } : wanted
  const existing = await findComplete(client, spec)
  if (existing?.superStream === undefined) await refusePartition(client, spec, source.context.prefix)
  if (existing !== undefined) return checked(existing, spec)
  if (spec.provision !== 'create') throw topicMissing(TRANSPORT, spec)
  const settled = streamArguments(spec.retention, source.settings)
  if (bindingKeys !== undefined || (spec.partitions ?? 1) > 1)
    await createSuperStream(client, spec, bindingKeys, settled, source.context.prefix)
  else await client.createStream({ stream: spec.brokerTopic, arguments: settled }).catch(unlessMade)
  const made = await findComplete(client, spec)
  if (made === undefined) throw await creationRefused(client, spec)
  return checked(made, spec)
}

/**
 * Making a super stream is many steps, which the broker takes back when one fails: of two clients that do it at once, each may
 * undo the other's. Hence one after the other, by a lock on a stream of our own.
 */
async function createSuperStream(
  client: StreamClient,
  spec: TopicSpec,
  bindingKeys: readonly string[] | undefined,
  settled: Record<string, string>,
  prefix: string,
): Promise<void> {
  const locks = prefix + LOCK_STREAM
  await client
    .createStream({ stream: locks, arguments: { 'max-length-bytes': 1_000_000 } })
    .catch(async (error: unknown) => {
      unlessMade(error)
      if ((await existingStreams(client, [locks])).length === 0) throw await creationRefused(client, spec, error)
    })
  const signal = AbortSignal.timeout(LOCK_WAIT_MS)
  const release = await whenAvailable(signal, () =>
    acquireLock(client, locks, `create:${spec.brokerTopic}`, LOCK_WAIT_MS),
  )
  if (release === undefined)
    throw failure(
      'UNAVAILABLE',
      `topic '${spec.topic}' is being created by another client, which doesn't finish`,
      'open',
      spec.topic,
    )
  try {
    if ((await findTopic(client, spec.brokerTopic)) !== undefined) return
    const keys = bindingKeys === undefined ? undefined : [...bindingKeys]
    await client
      .createSuperStream({ streamName: spec.brokerTopic, arguments: settled }, keys, spec.partitions)
      .catch(async (error: unknown) => {
        const isRefused =
          hasCode(error, ResponseCode.streamAlreadyExists) || hasCode(error, ResponseCode.preconditionFailed)
        throw isRefused ? await creationRefused(client, spec, error) : error
      })
  } finally {
    await release()
  }
}

/**
 * A super stream with all its partitions, also one that is being made now; `undefined` where there is none.
 *
 * @param streams - streams that there are: one that looks like a partition and isn't among its partitions tells that it may be unfinished.
 */
export async function findSuperStream(
  client: StreamClient,
  brokerTopic: string,
  prefix: string,
  streams: ReadonlySet<string>,
): Promise<Topology | undefined> {
  const isMissingIn = (found: Topology): boolean =>
    [...streams].some((stream) => stream.startsWith(`${brokerTopic}-`) && !found.streams.includes(stream))
  let found = await findTopic(client, brokerTopic)
  if (found?.superStream === undefined || isMissingIn(found)) found = await findFinished(client, brokerTopic, prefix)
  return found?.superStream === undefined ? undefined : found
}

/** As {@link findTopic}, once nobody is making or deleting it any more: until then partitions of a super stream look like topics of their own. */
function findFinished(client: StreamClient, brokerTopic: string, prefix: string): Promise<Topology | undefined> {
  return alone(client, brokerTopic, prefix, () => findTopic(client, brokerTopic))
}

/** Deletes a topic with all its partitions; one that isn't there is no error. */
export async function deleteTopic(client: StreamClient, brokerTopic: string, prefix: string): Promise<void> {
  const topology = await findTopic(client, brokerTopic)
  if (topology === undefined) return
  const deleting =
    topology.superStream === undefined
      ? client.deleteStream({ stream: brokerTopic })
      : alone(client, brokerTopic, prefix, () => client.deleteSuperStream({ streamName: brokerTopic }))
  await deleting.catch((error: unknown) => {
    if (!hasCode(error, ResponseCode.streamDoesNotExist)) throw error
  })
}

/** While nobody makes or deletes the super stream of that name. */
async function alone<T>(client: StreamClient, brokerTopic: string, prefix: string, work: () => Promise<T>): Promise<T> {
  // Without the stream of locks no super stream was ever made here.
  const release = await acquireLock(client, prefix + LOCK_STREAM, `create:${brokerTopic}`, LOCK_WAIT_MS).catch(
    () => undefined,
  )
  try {
    return await work()
  } finally {
    await release?.()
  }
}

/** Which of these streams are there now. */
export async function existingStreams(client: StreamClient, streams: readonly string[]): Promise<string[]> {
  if (streams.length === 0) return []
  const found = await client.queryMetadata({ streams: [...streams] })
  return found
    .filter(({ responseCode }) => responseCode !== ResponseCode.streamDoesNotExist)
    .map(({ streamName }) => streamName)
}

/**
 * Why no stream of a topic's name can be created, which the broker doesn't say in this protocol: where it refuses any other name as well, a limit on
 * queues is reached, else the name is taken.
 */
async function creationRefused(client: StreamClient, { topic, brokerTopic }: TopicSpec, cause?: unknown) {
  const stream = `${brokerTopic}.${randomBytes(6).toString('hex')}`
  try {
    await client.createStream({ stream, arguments: {} })
  } catch (error) {
    return hasCode(error, ResponseCode.preconditionFailed)
      ? queueLimitReached(topic, error)
      : nameTaken(topic, brokerTopic, cause ?? error)
  }
  await client.deleteStream({ stream }).catch(() => {})
  return nameTaken(topic, brokerTopic, cause)
}

/** Somebody else made it in between: what counts is what it looks like now. */
function unlessMade(error: unknown): true {
  if (hasCode(error, ResponseCode.streamAlreadyExists) || hasCode(error, ResponseCode.preconditionFailed)) return true
  throw error
}

/** The topic as it is, or `undefined` where there is none. */
export async function findTopic(client: StreamClient, brokerTopic: string): Promise<Topology | undefined> {
  const partitions = (await partitionsOf(client, brokerTopic)) ?? []
  if (partitions.length > 0) return { streams: partitions, superStream: brokerTopic }
  const [metadata] = await client.queryMetadata({ streams: [brokerTopic] })
  if (metadata === undefined || metadata.responseCode === ResponseCode.streamDoesNotExist) return undefined
  return { streams: [brokerTopic], superStream: undefined }
}

/** Partitions of a super stream, `undefined` where there is none. While it is being made, it is there without them. */
async function partitionsOf(client: StreamClient, superStream: string): Promise<readonly string[] | undefined> {
  try {
    // A stream that several keys lead to is listed once for each.
    return [...new Set(await client.queryPartitions({ superStream }))]
  } catch (error) {
    if (hasCode(error, ResponseCode.streamDoesNotExist)) return undefined
    throw error
  }
}

/**
 * Rejects with CONFLICT where a topic's stream is a partition of a super stream. Should one group consume it by itself and as a
 * partition, RabbitMQ 4.0.5 has no case for that: its stream coordinator crashes, and again at each start, until its data is removed.
 */
async function refusePartition(client: StreamClient, spec: TopicSpec, prefix: string): Promise<void> {
  const { topic, brokerTopic } = spec
  for (let end = brokerTopic.indexOf('-'); end > 0; end = brokerTopic.indexOf('-', end + 1)) {
    const parent = brokerTopic.slice(0, end)
    let streams = await partitionsOf(client, parent)
    if (streams === undefined) continue
    // What isn't among them yet may be when it is finished.
    if (!streams.includes(brokerTopic)) streams = (await findFinished(client, parent, prefix))?.streams ?? []
    if (!streams.includes(brokerTopic)) continue
    throw failure(
      'CONFLICT',
      `topic '${topic}' is a partition of the super stream '${parent}': use that as the topic`,
      'open',
      topic,
    )
  }
}

/** The topic once it has as many partitions as wanted, or after a second as it is: a super stream is made partition by partition. */
async function findComplete(client: StreamClient, spec: TopicSpec): Promise<Topology | undefined> {
  for (let poll = 0; ; poll += 1) {
    const topology = await findTopic(client, spec.brokerTopic)
    const growing = topology?.superStream !== undefined && topology.streams.length < (spec.partitions ?? 0)
    if (!growing || poll * LEADER_POLL_MS >= GROWING_MS) return topology
    await delay(LEADER_POLL_MS)
  }
}

function checked(topology: Topology, spec: TopicSpec): Topology {
  const { length } = topology.streams
  if (spec.partitions !== undefined && spec.partitions !== length) throw partitionConflict(TRANSPORT, spec, length)
  return topology
}

function streamArguments(retention: Retention, settings: StreamSettings): Record<string, string> {
  const { maxAgeMs, maxBytes } = retention
  const retained = maxAgeMs !== undefined || maxBytes !== undefined
  // Retention drops whole files, and never the last one: with the broker's 500 MB it would rarely come to anything.
  const fitting =
    maxBytes === undefined ? DEFAULT_RETAINED_SEGMENT_BYTES : Math.max(MIN_SEGMENT_BYTES, Math.floor(maxBytes / 4))
  const segmentBytes =
    settings.segmentBytes ?? (retained ? Math.min(fitting, DEFAULT_RETAINED_SEGMENT_BYTES) : undefined)
  return {
    ...(maxAgeMs === undefined ? {} : { 'max-age': `${Math.max(1, Math.ceil(maxAgeMs / 1_000))}s` }),
    ...(maxBytes === undefined ? {} : { 'max-length-bytes': String(maxBytes) }),
    ...(segmentBytes === undefined ? {} : { 'stream-max-segment-size-bytes': String(segmentBytes) }),
    ...(settings.replicas === undefined ? {} : { 'initial-cluster-size': String(settings.replicas) }),
  }
}

/** Repeats what fails because a stream has no leader yet, as it is for a moment after being made and after a broker's start. */
export async function whenAvailable<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      const passing = error instanceof NoLeader || hasCode(error, ResponseCode.streamNotAvailable)
      if (!passing || signal.aborted) throw error
      await delay(LEADER_POLL_MS)
    }
  }
}
