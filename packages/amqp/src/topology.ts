import { DEAD_LETTER_GROUP, type Logger, type TopicSpec, topicMissing } from '@streamswitch/core/driver'
import type { ConfirmChannel } from 'amqplib'
import type { AmqpConnection } from './connection.js'
import { classifyError, inequivalentArgument, replyCodeOf } from './errors.js'
import { type Binding, bindExisting, checkExistingExchange } from './existing-exchange.js'
import { groupNames, type SharedNames, type TopicNames, topicNames } from './names.js'
import { checkPartitions, declareTopicExchange, settlePartitions } from './partition-count.js'
import { declareStream } from './stream-log.js'
import type { TopicRegistry } from './topic-registry.js'

/**
 * How long the broker lets a delivery go unacked, in milliseconds: 49.7 days, the longest that a timer of Erlang takes. Prefetched messages
 * wait behind others, so no bound on a single handling can be a bound on this; handlers are watched by the loop itself, dead members
 * are found by heartbeats. A constant, so that two services never declare different queues; on consumers as well, where RabbitMQ 4.3
 * prefers it to what the queue or a policy says.
 */
export const ACK_TIMEOUT_MS = 2 ** 32 - 1
/** Queues of a group that are declared at the same time. */
const DECLARED_TOGETHER = 8
/** Dropped messages that are kept, in bytes, apart from the newest segment of the stream. */
const DROPPED_BYTES = 10_000_000_000
/** Arguments of a group's queues that hold as they were when the group was made. */
const KEPT_ARGUMENTS: ReadonlySet<string> = new Set([
  'x-message-ttl',
  'x-max-length',
  'x-max-length-bytes',
  'x-dead-letter-exchange',
  'x-queue-leader-locator',
  'x-quorum-initial-group-size',
])

type Arguments = Record<string, string | number | boolean>

export interface TopologyContext {
  readonly connection: AmqpConnection
  readonly registry: TopicRegistry
  readonly shared: SharedNames
  readonly logger: Logger
}

/** Makes or checks a topic, as its spec says. Resolves with its partition count. Rejects with CONFLICT or NOT_FOUND. */
export async function provisionTopic(context: TopologyContext, spec: TopicSpec): Promise<number> {
  if (spec.native) return checkExistingExchange(context.connection, spec)
  if (spec.provision !== 'create') return checkPartitions(context.connection, spec)
  const { partitions, isNew } = await settlePartitions(context, spec)
  await Promise.all([
    context.connection.withChannel(`create topic ${spec.topic}`, (channel) =>
      declareExchanges(channel, topicNames(spec.brokerTopic)),
    ),
    noteTopic(context, spec, partitions, isNew),
  ])
  // Dead letters are kept, whoever else reads them: for the group that lists and replays them.
  if (spec.role === 'dead-letters')
    await provisionGroup(context, { topic: spec, group: DEAD_LETTER_GROUP, ordering: 'key', partitions })
  return partitions
}

async function noteTopic(context: TopologyContext, spec: TopicSpec, partitions: number, isNew: boolean): Promise<void> {
  const { registry, connection, logger } = context
  const entry = { topic: spec.brokerTopic, partitions }
  try {
    if (isNew) await registry.add(connection, entry)
    else await registry.ensure(connection, entry)
  } catch (error) {
    if (connection.gone) throw error
    logger.warn(`topic ${spec.topic} could not be added to the topic registry: ${classifyError(error, 'open').message}`)
  }
}

/** A group as it is made on the broker. */
export interface GroupSpec {
  readonly topic: TopicSpec
  /** As `groupPart` says. */
  readonly group: string
  readonly ordering: 'key' | 'none'
  readonly partitions: number
  /** To a native exchange. */
  readonly bindings?: readonly Binding[] | undefined
}

/** What a group's queues were found to be. */
export interface GroupState {
  /** Consumers that were there already. */
  readonly consumers: number
  /** The group existed and its queues were gone, with what they held. */
  readonly recreated: boolean
}

/** Makes or checks a group's queues, as the topic's spec says. */
export async function provisionGroup(context: TopologyContext, spec: GroupSpec): Promise<GroupState> {
  const { topic, group } = spec
  const names = groupNames(topic, group)
  const existing = await passiveConsumers(context.connection, names.queue(0))
  if ((topic.groups ?? topic.provision) !== 'create') {
    if (existing === undefined) throw topicMissing('amqp', `${topic.topic} (group ${group})`)
    return { consumers: existing, recreated: false }
  }
  // Whoever makes a group notes it when all of it is there: one that is noted, and missing after that was read, was deleted.
  const noted = existing === undefined ? await isNoted(context, spec) : undefined
  const recreated = noted === true && (await passiveConsumers(context.connection, names.queue(0))) === undefined
  // Together: behind a slow link each answer takes its time.
  const partitions = Array.from({ length: spec.partitions }, (_, partition) => partition)
  await Promise.all([
    provisionDropped(context),
    ...Array.from({ length: DECLARED_TOGETHER }, async (_, first) => {
      for (const partition of partitions.filter((one) => one % DECLARED_TOGETHER === first))
        await provisionQueue(context, spec, partition)
    }),
  ])
  await context.connection.withChannel(`create group ${group}`, async (channel) => {
    // Last: while a queue is missing, its messages must not end up in another one.
    if (!topic.native) await rebindOthers(channel, spec)
    await channel.assertExchange(names.members, 'fanout', { durable: true })
  })
  await noteGroup(context, spec, noted)
  return { consumers: existing ?? 0, recreated }
}

async function isNoted({ registry, connection }: TopologyContext, { topic, group }: GroupSpec): Promise<boolean> {
  try {
    const entries = await registry.read(connection)
    return entries.some((entry) => entry.topic === topic.derivedName && entry.group === group)
  } catch (error) {
    if (connection.gone) throw error
    // Told when it is to be noted.
    return false
  }
}

/** @param noted - whether it has been noted; `undefined` where that wasn't asked. */
async function noteGroup(context: TopologyContext, spec: GroupSpec, noted: boolean | undefined): Promise<void> {
  const { registry, connection, logger } = context
  const { topic, group, partitions } = spec
  const entry = { topic: topic.derivedName, group, partitions }
  try {
    if (noted === undefined) await registry.ensure(connection, entry)
    else if (!noted) await registry.add(connection, entry)
  } catch (error) {
    if (connection.gone) throw error
    logger.warn(
      `group ${group} of topic ${topic.topic} could not be added to the topic registry: ${classifyError(error, 'open').message}`,
    )
  }
}

/**
 * Makes what takes the messages that the broker drops from group queues, one of each per prefix: dead-letter exchanges, and a stream, which
 * policies on queues don't shrink.
 */
export async function provisionDropped({
  connection,
  shared,
}: Pick<TopologyContext, 'connection' | 'shared'>): Promise<void> {
  await connection.withChannel('create the stream of dropped messages', async (channel) => {
    await declareStream(channel, shared.dropped, DROPPED_BYTES)
    await channel.assertExchange(shared.dropped, 'fanout', { durable: true })
    await channel.bindQueue(shared.dropped, shared.dropped, '')
    await channel.assertExchange(shared.droppedUnexpired, 'headers', { durable: true })
    for (const reason of ['delivery_limit', 'maxlen', 'rejected'])
      await channel.bindQueue(shared.dropped, shared.droppedUnexpired, '', forReason(reason))
    // No classic queue: while the node of one is down, its declaration takes a minute.
    await channel.assertQueue(shared.expired, {
      durable: true,
      arguments: { 'x-queue-type': 'quorum', 'x-message-ttl': 0, 'x-delivery-limit': -1, 'x-overflow': 'drop-head' },
    })
    await channel.bindQueue(shared.expired, shared.droppedUnexpired, '', forReason('expired'))
  })
}

/** `x-first-death-reason` would stay what it was at the first of several. */
function forReason(reason: string): Arguments {
  return { 'x-match': 'all-with-x', 'x-last-death-reason': reason }
}

/** Makes one partition's queue of a group and binds it. Rejects with CONFLICT where it exists with another ordering. */
export async function provisionQueue(
  { connection, shared }: Pick<TopologyContext, 'connection' | 'shared'>,
  spec: GroupSpec,
  partition: number,
): Promise<void> {
  const { topic, group } = spec
  const queue = groupNames(topic, group).queue(partition)
  const queueArguments = argumentsOf(spec, shared)
  for (let tries = 0; ; tries += 1) {
    try {
      return await connection.withChannel(`create queue ${queue}`, async (channel) => {
        await channel.assertQueue(queue, { durable: true, arguments: queueArguments })
        if (topic.native) await bindExisting(channel, queue, topic, spec.bindings ?? [])
        else await channel.bindQueue(queue, topicNames(topic.brokerTopic).exchange, String(partition))
      })
    } catch (error) {
      const argument = inequivalentArgument(error)
      if (argument === undefined || !KEPT_ARGUMENTS.has(argument.name) || tries > KEPT_ARGUMENTS.size) throw error
      // Retention is settled by whoever made the group.
      if (argument.current === undefined) delete queueArguments[argument.name]
      else
        queueArguments[argument.name] = /^-?\d+$/.test(argument.current) ? Number(argument.current) : argument.current
    }
  }
}

function argumentsOf({ topic, ordering }: GroupSpec, shared: SharedNames): Arguments {
  const { maxAgeMs, maxBytes, maxMessages } = topic.retention
  return {
    'x-queue-type': 'quorum',
    // The default of 20 throws prefetched messages away that no handler ever saw; attempts are counted by the loop.
    'x-delivery-limit': -1,
    'x-consumer-timeout': ACK_TIMEOUT_MS,
    ...(ordering === 'key' ? { 'x-single-active-consumer': true } : {}),
    ...(maxAgeMs === undefined ? {} : { 'x-message-ttl': maxAgeMs }),
    ...(maxBytes === undefined ? {} : { 'x-max-length-bytes': maxBytes }),
    ...(maxMessages === undefined ? {} : { 'x-max-length': maxMessages }),
    // Everything in the queue is unacked: full means that senders wait, not that messages vanish. At-least-once needs it as well.
    'x-overflow': 'reject-publish',
    // What a policy makes the broker drop all the same.
    'x-dead-letter-exchange': maxAgeMs === undefined ? shared.dropped : shared.droppedUnexpired,
    'x-dead-letter-strategy': 'at-least-once',
  }
}

/** How many consumers a queue has; `undefined` where it doesn't exist. */
export async function passiveConsumers(connection: AmqpConnection, queue: string): Promise<number | undefined> {
  try {
    return (await connection.withChannel(`check queue ${queue}`, (channel) => channel.checkQueue(queue))).consumerCount
  } catch (error) {
    if (replyCodeOf(error) === 404) return undefined
    throw error
  }
}

/** Makes and binds everything again, where an exchange was deleted: queues stay, their bindings don't. */
export async function rebind(channel: ConfirmChannel, spec: GroupSpec): Promise<void> {
  const names = topicNames(spec.topic.brokerTopic)
  const group = groupNames(spec.topic, spec.group)
  if (spec.topic.native) {
    await channel.assertExchange(group.members, 'fanout', { durable: true })
    return bindExisting(channel, group.queue(0), spec.topic, spec.bindings ?? [])
  }
  await declareExchanges(channel, names)
  await channel.assertExchange(group.members, 'fanout', { durable: true })
  for (let partition = 0; partition < spec.partitions; partition += 1)
    await channel.bindQueue(group.queue(partition), names.exchange, String(partition))
  await rebindOthers(channel, spec)
}

/** Binds the queue that takes what foreign senders route by something else than a partition number. Last, see `provisionGroup`. */
export async function rebindOthers(channel: ConfirmChannel, spec: GroupSpec): Promise<void> {
  const queue = groupNames(spec.topic, spec.group).queue(0)
  await channel.bindQueue(queue, topicNames(spec.topic.brokerTopic).others, '')
}

async function declareExchanges(channel: ConfirmChannel, names: TopicNames): Promise<void> {
  await channel.assertExchange(names.others, 'fanout', { durable: true })
  await declareTopicExchange(channel, names)
}

/** Deletes a topic and the groups that are known of it; an exchange of others stays. Missing parts are no error. */
export async function deleteTopology(
  connection: AmqpConnection,
  spec: TopicSpec,
  groups: readonly { readonly group: string; readonly partitions: number }[],
): Promise<void> {
  const names = topicNames(spec.brokerTopic)
  await connection.withChannel(`delete topic ${spec.topic}`, async (channel) => {
    if (!spec.native) {
      await channel.deleteExchange(names.exchange)
      await channel.deleteExchange(names.others)
      await channel.deleteQueue(names.partitions)
    }
    for (const { group, partitions } of groups) {
      const made = groupNames(spec, group)
      await channel.deleteExchange(made.members)
      await channel.deleteQueue(made.droppedOffset)
      for (let partition = 0; partition < partitions; partition += 1) {
        await channel.deleteQueue(made.queue(partition))
        await channel.deleteQueue(made.attempts(partition))
      }
    }
  })
}
