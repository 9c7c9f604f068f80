import { type ErrorCode, partitionConflict, StreamError, type TopicSpec, topicLabel } from '@streamswitch/core/driver'
import type { Channel } from 'amqplib'
import type { AmqpConnection } from './connection.js'
import { inequivalentArgument, replyCodeOf } from './errors.js'
import { topicNames } from './names.js'
import { exchangeExists, queueExists } from './partition-count.js'

/** How a group's queue is bound to an existing exchange. */
export interface Binding {
  /** The routing key, or a pattern of them (topic exchanges). */
  readonly key?: string | undefined
  /** For headers exchanges: `{ 'x-match': 'all', region: 'eu' }`. */
  readonly arguments?: Readonly<Record<string, string | number | boolean>> | undefined
}

/** Takes everything from topic, fanout and headers exchanges. */
const EVERYTHING: readonly Binding[] = [{ key: '#' }]

/** No exchange has this alternate, so that a declaration is never taken for the one that made it. */
const NOBODY = 'streamswitch:nobody'

/**
 * Checks a native exchange, of any type. Who publishes to it knows nothing of partitions, so that a group has one queue. Rejects with
 * NOT_FOUND, or with CONFLICT for more partitions and for a topic of Streamswitch's own.
 */
export async function checkExistingExchange(connection: AmqpConnection, spec: TopicSpec): Promise<number> {
  if (spec.role === 'dead-letters') {
    const what =
      'is an existing exchange, which keeps no dead letters: name an existing queue, or a topic without a native name'
    throw refusal('UNSUPPORTED', spec, what)
  }
  if (!(await exchangeExists(connection, spec.brokerTopic))) throw exchangeMissing(spec)
  if (await queueExists(connection, `${spec.brokerTopic}:partitions`))
    throw refusal('CONFLICT', spec, 'is a topic of Streamswitch: use its name and prefix, not a native name')
  if (spec.partitions !== undefined && spec.partitions !== 1) throw partitionConflict('amqp', spec, 1)
  return 1
}

/** NOT_FOUND: its type is unknown, so it is never created here. */
export function exchangeMissing(spec: TopicSpec): StreamError {
  return new StreamError(
    `${topicLabel(spec)} doesn't exist: there is no exchange of this name; declare it with the type that it is to have, or correct the native name (queues are listed in 'queues', AMQP_QUEUES)`,
    { code: 'NOT_FOUND', transport: 'amqp', operation: 'open', topic: spec.topic },
  )
}

/**
 * How the queue of a group is to be bound: as was asked for, else so that it gets everything. Rejects with INVALID_ARGUMENT for an exchange
 * where no binding does that.
 */
export async function bindingsOf(
  connection: AmqpConnection,
  spec: TopicSpec,
  given: readonly Binding[] | undefined,
): Promise<readonly Binding[]> {
  if (given !== undefined) return given
  const type = await typeOf(connection, spec.brokerTopic)
  if (type === 'topic' || type === 'fanout' || type === 'headers') return EVERYTHING
  const what = type === undefined ? 'whose type this user may not read' : `of type ${type}`
  throw new StreamError(
    `${topicLabel(spec)} is an exchange ${what}: set which routing keys the group receives (amqp: { bindings: ['…'] })`,
    { code: 'INVALID_ARGUMENT', transport: 'amqp', operation: 'open', topic: spec.topic },
  )
}

/** Binds the queue of a group. */
export async function bindExisting(
  channel: Channel,
  queue: string,
  spec: TopicSpec,
  bindings: readonly Binding[],
): Promise<void> {
  for (const { key = '', arguments: given } of bindings)
    await channel.bindQueue(queue, topicNames(spec.brokerTopic).exchange, key, given)
}

/**
 * The protocol reveals the type of an exchange only to a client that declares it with another one. `undefined`: this
 * user may not.
 */
async function typeOf(connection: AmqpConnection, exchange: string): Promise<string | undefined> {
  try {
    await connection.withChannel(`ask for the type of exchange ${exchange}`, (channel) =>
      channel.assertExchange(exchange, 'fanout', { durable: true, alternateExchange: NOBODY }),
    )
  } catch (error) {
    const differing = inequivalentArgument(error)
    if (differing !== undefined) return differing.name === 'type' ? differing.current : 'fanout'
    if (replyCodeOf(error) !== 403) throw error
  }
  return undefined
}

function refusal(code: ErrorCode, spec: TopicSpec, what: string): StreamError {
  return new StreamError(`${topicLabel(spec)} ${what}`, {
    code,
    transport: 'amqp',
    operation: 'open',
    topic: spec.topic,
  })
}
