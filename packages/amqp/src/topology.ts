import {
  DEAD_LETTER_GROUP,
  type Logger,
  partitionConflict,
  type TopicSpec,
  topicMissing,
} from '@streamswitch/core/driver'
import type { ConfirmChannel } from 'amqplib'
import type { Catalogue } from './catalogue.js'
import type { AmqpConnection } from './connection.js'
import { confirmed } from './control-channel.js'
import { classifyError, inequivalentArgument, newerFormat, replyCodeOf } from './errors.js'
import { groupNames, type TopicNames, topicNames } from './names.js'

/** Version of everything that is made on the broker. Stands in the partition queue's delivery limit, which nothing else uses. */
const FORMAT = 1
/**
 * How long the broker lets a delivery go unacked, in milliseconds: for ever. Prefetched messages wait behind others, so no bound on
 * a single handling can be a bound on this; handlers are watched by the loop itself, dead members are found by heartbeats.
 */
const ACK_TIMEOUT_MS = Number.MAX_SAFE_INTEGER
/** Arguments of a group's queues that hold as they were when the group was made. */
const KEPT_ARGUMENTS: ReadonlySet<string> = new Set([
  'x-message-ttl',
  'x-max-length',
  'x-max-length-bytes',
  'x-overflow',
  'x-queue-leader-locator',
  'x-quorum-initial-group-size',
])

type Arguments = Record<string, string | number | boolean>

export interface TopologyContext {
  readonly connection: AmqpConnection
  readonly catalogue: Catalogue
  readonly logger: Logger
}

/** Makes or checks a topic, as its spec says. Resolves with its partition count. Rejects with CONFLICT or NOT_FOUND. */
export async function provisionTopic(context: TopologyContext, spec: TopicSpec): Promise<number> {
  if (spec.provision !== 'create') return checkTopic(context, spec)
  const names = topicNames(spec.brokerTopic)
  const { partitions, count } = await declarePartitions(context, spec)
  await context.connection.withChannel(`make topic ${spec.topic}`, (channel) => declareExchanges(channel, names))
  if (count < partitions) await countIn(context, spec, partitions, count)
  // Dead letters are kept, whoever else reads them: for the group that lists and replays them.
  if (spec.role === 'dead-letters')
    await provisionGroup(context, { topic: spec, group: DEAD_LETTER_GROUP, ordering: 'key', partitions })
  return partitions
}

/** The partition queue's length limit is the partition count: the first to declare it decides, the broker tells the others. */
async function declarePartitions(
  context: TopologyContext,
  spec: TopicSpec,
): Promise<{ partitions: number; count: number }> {
  const queue = topicNames(spec.brokerTopic).partitions
  let partitions = spec.partitions ?? 1
  for (let tries = 0; ; tries += 1) {
    const declared = partitions
    try {
      const options = {
        durable: true,
        arguments: { 'x-queue-type': 'quorum', 'x-max-length': declared, 'x-delivery-limit': FORMAT },
      }
      const { messageCount } = await context.connection.withChannel(`make topic ${spec.topic}`, (channel) =>
        channel.assertQueue(queue, options),
      )
      return { partitions, count: messageCount }
    } catch (error) {
      const argument = inequivalentArgument(error)
      if (argument?.name === 'x-delivery-limit') throw newerFormat(`topic '${spec.topic}'`, spec.topic)
      if (argument?.name !== 'x-max-length' || argument.current === undefined || tries > 0) throw error
      partitions = Number(argument.current)
      if (spec.partitions !== undefined && spec.partitions !== partitions)
        throw partitionConflict('amqp', spec.topic, partitions, spec.partitions)
    }
  }
}

/** Fills the partition queue with as many messages as there are partitions: who may not declare it can still count them. */
async function countIn(context: TopologyContext, spec: TopicSpec, partitions: number, count: number): Promise<void> {
  const queue = topicNames(spec.brokerTopic).partitions
  const body = Buffer.from(JSON.stringify({ format: FORMAT, partitions }))
  try {
    await context.connection.withChannel(`make topic ${spec.topic}`, async (channel) => {
      await Promise.all(
        Array.from({ length: partitions - count }, () =>
          confirmed(channel, '', queue, body, { contentType: 'application/json' }),
        ),
      )
    })
    await context.catalogue.add(context.connection, { topic: spec.brokerTopic, partitions })
  } catch (error) {
    if (context.connection.gone) throw error
    context.logger.warn(
      `topic ${spec.topic}: its partition count could not be noted for those that only verify it: ${classifyError(error, 'open').message}`,
    )
  }
}

async function checkTopic(context: TopologyContext, spec: TopicSpec): Promise<number> {
  const names = topicNames(spec.brokerTopic)
  try {
    const { messageCount } = await context.connection.withChannel(`check topic ${spec.topic}`, async (channel) => {
      await channel.checkExchange(names.exchange)
      return channel.checkQueue(names.partitions)
    })
    if (messageCount > 0 && spec.partitions !== undefined && spec.partitions !== messageCount)
      throw partitionConflict('amqp', spec.topic, messageCount, spec.partitions)
    return messageCount || (spec.partitions ?? 1)
  } catch (error) {
    if (replyCodeOf(error) !== 404) throw error
    if (spec.provision === 'verify') throw topicMissing('amqp', spec.topic)
    return spec.partitions ?? 1
  }
}

/** A group as it is made on the broker. */
export interface GroupSpec {
  readonly topic: TopicSpec
  /** Without the prefix. */
  readonly group: string
  readonly ordering: 'key' | 'none'
  readonly partitions: number
}

/** Makes or checks a group's queues, as the topic's spec says. Resolves with the number of consumers that it has already. */
export async function provisionGroup(context: TopologyContext, spec: GroupSpec): Promise<number> {
  const { topic, group } = spec
  const names = groupNames(topic.brokerTopic, group)
  const existing = await passiveConsumers(context.connection, names.queue(0))
  if (topic.provision !== 'create') {
    if (existing === undefined) throw topicMissing('amqp', `${topic.topic} (group ${group})`)
    return existing
  }
  for (let partition = 0; partition < spec.partitions; partition += 1)
    await provisionQueue(context.connection, spec, partition)
  await context.connection.withChannel(`make group ${group}`, async (channel) => {
    // Last: while a queue is missing, its messages must not end up in another one.
    await rebindOthers(channel, spec)
    await channel.assertExchange(names.members, 'fanout', { durable: true })
  })
  if (existing === undefined) await noteGroup(context, spec)
  return existing ?? 0
}

async function noteGroup(context: TopologyContext, { topic, group, partitions }: GroupSpec): Promise<void> {
  try {
    await context.catalogue.add(context.connection, { topic: topic.brokerTopic, group, partitions })
  } catch (error) {
    if (context.connection.gone) throw error
    context.logger.warn(
      `group ${group} of topic ${topic.topic} could not be noted in the catalogue: ${classifyError(error, 'open').message}`,
    )
  }
}

/** Makes one partition's queue of a group and binds it. Rejects with CONFLICT where it exists with another ordering. */
export async function provisionQueue(connection: AmqpConnection, spec: GroupSpec, partition: number): Promise<void> {
  const { topic, group } = spec
  const queue = groupNames(topic.brokerTopic, group).queue(partition)
  const queueArguments = argumentsOf(spec)
  for (let tries = 0; ; tries += 1) {
    try {
      return await connection.withChannel(`make queue ${queue}`, async (channel) => {
        await channel.assertQueue(queue, { durable: true, arguments: queueArguments })
        await channel.bindQueue(queue, topicNames(topic.brokerTopic).exchange, String(partition))
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

function argumentsOf({ topic, ordering }: GroupSpec): Arguments {
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
    // Everything in the queue is unacked: full means that senders wait, not that messages vanish.
    ...(maxBytes === undefined && maxMessages === undefined ? {} : { 'x-overflow': 'reject-publish' }),
  }
}

/** How many consumers a queue has; `undefined` where it doesn't exist. */
async function passiveConsumers(connection: AmqpConnection, queue: string): Promise<number | undefined> {
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
  const group = groupNames(spec.topic.brokerTopic, spec.group)
  await declareExchanges(channel, names)
  await channel.assertExchange(group.members, 'fanout', { durable: true })
  for (let partition = 0; partition < spec.partitions; partition += 1)
    await channel.bindQueue(group.queue(partition), names.exchange, String(partition))
  await rebindOthers(channel, spec)
}

/** Binds the queue that takes what foreign senders route by something else than a partition number. Last, see `provisionGroup`. */
export async function rebindOthers(channel: ConfirmChannel, spec: GroupSpec): Promise<void> {
  const queue = groupNames(spec.topic.brokerTopic, spec.group).queue(0)
  await channel.bindQueue(queue, topicNames(spec.topic.brokerTopic).others, '')
}

async function declareExchanges(channel: ConfirmChannel, names: TopicNames): Promise<void> {
  await channel.assertExchange(names.others, 'fanout', { durable: true })
  await channel.assertExchange(names.exchange, 'direct', { durable: true, alternateExchange: names.others })
}

/** Deletes a topic and the groups that are known of it. Missing parts are no error. */
export async function deleteTopology(
  connection: AmqpConnection,
  brokerTopic: string,
  groups: readonly { readonly group: string; readonly partitions: number }[],
): Promise<void> {
  const names = topicNames(brokerTopic)
  await connection.withChannel(`delete topic ${brokerTopic}`, async (channel) => {
    await channel.deleteExchange(names.exchange)
    await channel.deleteExchange(names.others)
    await channel.deleteQueue(names.partitions)
    for (const { group, partitions } of groups) {
      const made = groupNames(brokerTopic, group)
      await channel.deleteExchange(made.members)
      for (let partition = 0; partition < partitions; partition += 1) {
        await channel.deleteQueue(made.queue(partition))
        await channel.deleteQueue(made.attempts(partition))
      }
    }
  })
}
