import { type Logger, partitionConflict, StreamError, type TopicSpec, topicMissing } from '@streamswitch/core/driver'
import type { Channel, ConfirmChannel, ConsumeMessage } from 'amqplib'
import type { AmqpConnection } from './connection.js'
import { confirmed } from './control-channel.js'
import { exchangeTaken, inequivalentArgument, newerFormat, notAStream, replyCodeOf, unanswered } from './errors.js'
import { type TopicNames, topicNames } from './names.js'
import { declareStream, readFirst } from './stream-log.js'
import type { TopicRegistry } from './topic-registry.js'

/** Version of everything that is created for a topic. */
const FORMAT = 1

interface CountContext {
  readonly connection: AmqpConnection
  readonly registry: TopicRegistry
  readonly logger: Logger
}

/** What the stream says: a count, `empty` while its first entry isn't there (yet), `missing` where there is no stream. */
type Found = number | 'empty' | 'missing'

/**
 * Settles a topic's partition count: the first entry of the topic's stream, whoever wrote it. `isNew`: this call wrote one. Rejects with
 * CONFLICT where it is another one than `spec` wants, or was lost while the topic exists.
 */
export async function settlePartitions(
  context: CountContext,
  spec: TopicSpec,
): Promise<{ readonly partitions: number; readonly isNew: boolean }> {
  const { connection } = context
  const stream = topicNames(spec.brokerTopic).partitions
  let found = await readCount(connection, spec)
  let exists = false
  if (typeof found !== 'number') {
    exists = await exchangeExists(connection, spec.brokerTopic)
    // Whoever creates a topic writes the count before the exchange.
    if (exists) found = await readCount(connection, spec)
    if (exists && typeof found !== 'number') await requireOwnExchange(connection, spec)
  }
  if (typeof found === 'number') return { partitions: agreed(found, spec), isNew: false }
  const wanted = exists ? await restored(context, spec, found) : (spec.partitions ?? 1)
  const first = await connection.withChannel(`create topic ${spec.topic}`, async (channel) => {
    await declareStream(channel, stream)
    await propose(channel, stream, wanted)
    return readFirst(channel, stream)
  })
  if (first === undefined) throw unanswered(`read stream ${stream}`)
  return { partitions: agreed(parsePartitionCount(first.message, spec), spec), isNew: true }
}

/** The partition count of a topic that others created. Rejects with NOT_FOUND, or with CONFLICT for another count: never guesses one. */
export async function checkPartitions(connection: AmqpConnection, spec: TopicSpec): Promise<number> {
  const exists = await exchangeExists(connection, spec.brokerTopic)
  if (!exists && spec.provision === 'verify') throw topicMissing('amqp', spec)
  const found = await readCount(connection, spec)
  if (typeof found === 'number') return agreed(found, spec)
  if (spec.provision === 'none' && spec.partitions !== undefined) return spec.partitions
  // It may have been deleted in between.
  if (!exists || !(await exchangeExists(connection, spec.brokerTopic))) throw topicMissing('amqp', spec)
  if (await queueExists(connection, `${spec.brokerTopic}-0`)) throw exchangeTaken(undefined, spec, true)
  throw found === 'empty' ? unanswered(`read stream ${topicNames(spec.brokerTopic).partitions}`) : countMissing(spec)
}

async function readCount(connection: AmqpConnection, spec: TopicSpec): Promise<Found> {
  const stream = topicNames(spec.brokerTopic).partitions
  try {
    const first = await connection.withChannel(`read the partition count of ${spec.topic}`, (channel) =>
      readFirst(channel, stream),
    )
    return first === undefined ? 'empty' : parsePartitionCount(first.message, spec)
  } catch (error) {
    if (replyCodeOf(error) === 404) return 'missing'
    throw notAStream(error, spec, stream)
  }
}

/** What to write where a topic that exists has lost its count: another number would send past its queues. */
async function restored(
  { connection, registry, logger }: CountContext,
  spec: TopicSpec,
  found: Found,
): Promise<number> {
  const entries = await registry.read(connection)
  const noted = entries.find(({ topic, group }) => topic === spec.brokerTopic && group === undefined)?.partitions
  const partitions = noted ?? spec.partitions
  const stream = topicNames(spec.brokerTopic).partitions
  if (partitions === undefined && (await exchangeExists(connection, spec.brokerTopic)))
    throw found === 'empty' ? unanswered(`read stream ${stream}`) : countMissing(spec)
  logger.warn(`topic ${spec.topic}: its partition count was lost (stream ${stream}) and is written again`)
  return partitions ?? 1
}

/** Rejects with CONFLICT where the exchange that exists is somebody else's: a super stream has one of its topic's name. */
async function requireOwnExchange(connection: AmqpConnection, spec: TopicSpec): Promise<void> {
  const names = topicNames(spec.brokerTopic)
  try {
    await connection.withChannel(`check topic ${spec.topic}`, (channel) => declareTopicExchange(channel, names))
  } catch (error) {
    if (inequivalentArgument(error) === undefined) {
      // Who may not declare it can't know.
      if (replyCodeOf(error) === 403) return
      throw error
    }
    throw exchangeTaken(error, spec, await queueExists(connection, `${spec.brokerTopic}-0`))
  }
}

/** Declares the topic's own exchange; a no-op where it exists, and refused where it is another kind of exchange. */
export async function declareTopicExchange(channel: Channel, names: TopicNames): Promise<void> {
  await channel.assertExchange(names.exchange, 'direct', { durable: true, alternateExchange: names.others })
}

/** Whether a queue exists, which may be a stream. */
export async function queueExists(connection: AmqpConnection, queue: string): Promise<boolean> {
  try {
    await connection.withChannel(`check queue ${queue}`, (channel) => channel.checkQueue(queue))
    return true
  } catch (error) {
    if (replyCodeOf(error) === 404) return false
    throw error
  }
}

/** Whether a topic's exchange exists. */
export async function exchangeExists(connection: AmqpConnection, brokerTopic: string): Promise<boolean> {
  try {
    await connection.withChannel(`check topic ${brokerTopic}`, (channel) =>
      channel.checkExchange(topicNames(brokerTopic).exchange),
    )
    return true
  } catch (error) {
    if (replyCodeOf(error) === 404) return false
    throw error
  }
}

async function propose(channel: ConfirmChannel, stream: string, partitions: number): Promise<void> {
  const body = Buffer.from(JSON.stringify({ format: FORMAT, partitions }))
  await confirmed(channel, '', stream, body, { contentType: 'application/json' })
}

function agreed(partitions: number, spec: TopicSpec): number {
  if (spec.partitions !== undefined && spec.partitions !== partitions) throw partitionConflict('amqp', spec, partitions)
  return partitions
}

/** The number of partitions that a topic's first entry says. Throws CONFLICT where it says none, and for a newer format. */
export function parsePartitionCount(message: ConsumeMessage, spec: TopicSpec): number {
  let raw: { readonly format?: unknown; readonly partitions?: unknown }
  try {
    // Of a text or number they are undefined, and `null` has none.
    raw = (JSON.parse(message.content.toString()) ?? {}) as typeof raw
  } catch {
    throw unreadable(spec, topicNames(spec.brokerTopic).partitions)
  }
  if (typeof raw.format === 'number' && raw.format > FORMAT) throw newerFormat(`topic '${spec.topic}'`, spec.topic)
  if (!Number.isSafeInteger(raw.partitions) || (raw.partitions as number) < 1)
    throw unreadable(spec, topicNames(spec.brokerTopic).partitions)
  return raw.partitions as number
}

function countMissing(spec: TopicSpec): StreamError {
  const stream = topicNames(spec.brokerTopic).partitions
  return new StreamError(
    `topic '${spec.topic}' exists, but its partition count is missing (stream '${stream}'): open it once with provision: 'create' and the number of partitions that it had; where the exchange is another client's, use another prefix or virtual host, or its name as the topic's native name (topics)`,
    { code: 'CONFLICT', retryable: false, transport: 'amqp', operation: 'open', topic: spec.topic },
  )
}

function unreadable(spec: TopicSpec, stream: string): StreamError {
  return new StreamError(
    `topic '${spec.topic}': the first entry of stream '${stream}' is not a partition count: delete the stream, and open the topic with provision: 'create' and the number of partitions that it has`,
    { code: 'CONFLICT', retryable: false, transport: 'amqp', operation: 'open', topic: spec.topic },
  )
}
