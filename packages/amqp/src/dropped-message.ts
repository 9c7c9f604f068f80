import { type Delivery, type ErrorCode, type PartitionAssignment, StreamError } from '@streamswitch/core/driver'
import type { ConsumeMessage } from 'amqplib'
import { withPropertyBytes } from './exact-frames.js'
import { contentHeaderOf } from './header-texts.js'
import { toDelivery } from './message.js'
import type { LogEntry } from './stream-log.js'

/** Why the broker drops messages (`x-death`, https://www.rabbitmq.com/docs/dlx), and what the user can do about it. */
const REASONS: Readonly<Record<string, { readonly code: ErrorCode; readonly text: string }>> = {
  delivery_limit: {
    code: 'ABORTED',
    text: 'its delivery limit was reached: a policy sets delivery-limit, which counts every message that a member held when it closed or died; exclude these queues from the policy, or set delivery-limit to -1',
  },
  expired: {
    code: 'TIMEOUT',
    text: 'its TTL expired: a policy sets message-ttl; exclude these queues from the policy',
  },
  maxlen: {
    code: 'RESOURCE_EXHAUSTED',
    text: 'the queue was full: a policy sets max-length or max-length-bytes with overflow drop-head; exclude these queues from the policy, or set overflow to reject-publish',
  },
}

/** What the broker adds to a message that it drops, and to one that is read from a stream. */
const DEATH_HEADERS = /^x-(death|(first|last)-death-.*|stream-offset)$/

/** What the broker says of a message that it dropped. */
export interface Death {
  readonly queue: string
  readonly reason: string
  /** By which the message had come to the queue. */
  readonly exchange: string
  readonly routingKey: string
}

/** The latest death of a message; `undefined` where something else has published it. */
export function deathOf({ properties }: ConsumeMessage): Death | undefined {
  const deaths: unknown = properties.headers?.['x-death']
  const death: unknown = Array.isArray(deaths) ? deaths[0] : undefined
  if (typeof death !== 'object' || death === null) return undefined
  const { queue, reason, exchange, 'routing-keys': keys } = death as Readonly<Record<string, unknown>>
  if (typeof queue !== 'string' || typeof reason !== 'string') return undefined
  const routingKey: unknown = Array.isArray(keys) ? keys[0] : undefined
  return {
    queue,
    reason,
    exchange: typeof exchange === 'string' ? exchange : '',
    routingKey: typeof routingKey === 'string' ? routingKey : '',
  }
}

/** The message as it was in its queue: without what the broker wrote down about its death. */
export function asBefore({ message, offset }: LogEntry, { exchange, routingKey }: Death): ConsumeMessage {
  const { headers: all, expiration: _expiration, ...properties } = message.properties
  const headers = Object.fromEntries(Object.entries(all ?? {}).filter(([name]) => !DEATH_HEADERS.test(name)))
  const before: ConsumeMessage = {
    ...message,
    fields: { ...message.fields, exchange, routingKey, deliveryTag: offset },
    properties: { ...properties, expiration: undefined, headers },
  }
  const exact = contentHeaderOf(message)
  if (exact === undefined) return before
  exact.headers = exact.headers?.filter(({ name }) => !DEATH_HEADERS.test(name.toString()))
  exact.delete('expiration')
  return withPropertyBytes(before, exact.encode())
}

/** A dropped message as core takes it. Its offset is the one in the stream of dropped messages. */
export function droppedDelivery(
  entry: LogEntry,
  death: Death,
  { topic, origin }: { readonly topic: string; readonly origin: string },
  partition: number,
): Delivery {
  // The epoch is part of the id of a message without one, which must be the same on each read.
  const assignment: PartitionAssignment = { topic, origin, partition, epoch: 0 }
  return toDelivery(asBefore(entry, death), assignment, undefined)
}

/** Why a message was dropped, for its dead letter and the user. */
export function droppedError({ queue, reason }: Death, topic: string): StreamError {
  const { code, text } = REASONS[reason] ?? { code: 'ABORTED', text: `reason '${reason}'` }
  return new StreamError(`the broker dropped a message from queue '${queue}': ${text}`, {
    code,
    retryable: false,
    transport: 'amqp',
    operation: 'consume',
    topic,
  })
}
