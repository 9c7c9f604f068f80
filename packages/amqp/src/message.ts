import { createHash } from 'node:crypto'
import {
  amqpBodyOf,
  arrivedId,
  arrivedTimestamp,
  Delivery,
  type Headers,
  historyOf,
  type IncomingReply,
  type OutgoingRecord,
  type PartitionAssignment,
  REPLY_HEADERS,
  requestIdOf,
  WIRE_HEADERS,
} from '@streamswitch/core/driver'
import type { ConsumeMessage, Message, Options } from 'amqplib'
import { propertyBytes } from './exact-frames.js'
import { BROKER_HEADERS, OTHER_HEADERS, sentId, textOf, textsOf } from './header-texts.js'
import { AMQP_FORM } from './native-form.js'

/** The protocol's short strings: names of headers, and the `message_id` property. */
const MAX_SHORT_STRING_BYTES = 255
/** Header names that RabbitMQ acts upon or sets, one that no object can hold, and none at all. */
const UNUSABLE_HEADERS: ReadonlySet<string> = new Set(['CC', 'BCC', '__proto__', '', 'x-death', ...BROKER_HEADERS])
/** The largest time that a `Date` can hold, in milliseconds since the epoch. */
const MAX_TIMESTAMP = 8_640_000_000_000_000
/** A publisher may name this one only while it consumes from it; the broker closes the channel of any other. */
const DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to'
/** Frame header and end, class, weight, body size, flags; each property and its length is counted apart. */
const HEADER_FRAME_BYTES = 22
const SMALL_PROPERTIES_BYTES = 16
/** A time that is never meant: the year 5138. */
const FAR_FUTURE_MS = 100_000_000_000_000
const EMPTY = Buffer.alloc(0)

/** The bytes of a record as they go on the wire: what is passed on has its own. */
export function bodyOf({ payload, original }: OutgoingRecord): Buffer {
  return original?.part === 'message' ? (original.native as Message).content : (payload ?? EMPTY)
}

/**
 * Returns the properties of a record: everything but its payload. Never throws; what the protocol can't represent is
 * clamped or omitted.
 */
export function propertiesOf(record: OutgoingRecord, contentType: string | undefined, keyed = true): Options.Publish {
  const timestamp = writableTimestamp(record.timestamp)
  const headers: Record<string, string> = { [WIRE_HEADERS.timestamp]: String(timestamp) }
  if (keyed && record.key !== undefined) headers[WIRE_HEADERS.key] = record.key
  if (record.payload === undefined) headers[WIRE_HEADERS.tombstone] = '1'
  if (record.headers !== undefined) addUserHeaders(headers, record.headers)
  const properties: Options.Publish = {
    persistent: true,
    mandatory: true,
    headers,
    timestamp: Math.floor(timestamp / 1_000),
  }
  if (fitsShortString(record.id)) properties.messageId = record.id
  else headers[WIRE_HEADERS.id] = record.id
  if (contentType !== undefined && fitsShortString(contentType)) properties.contentType = contentType
  if (record.headers !== undefined) addReplyProperties(properties, record.headers)
  return properties
}

/** Milliseconds since the epoch within what the property and a `Date` can hold. */
function writableTimestamp(timestamp: number): number {
  if (Number.isNaN(timestamp)) return 0
  return Math.trunc(Math.min(Math.max(timestamp, 0), MAX_TIMESTAMP))
}

/** At most so many bytes has the content header frame of a record's properties, by its counted size: no text is looked at. */
export function headerFrameBound({ size, payload, headers, id }: OutgoingRecord): number {
  // The size counts characters of keys and names, and what is written besides has a bound.
  const count = headers === undefined ? 0 : Object.keys(headers).length
  return 3 * (size - (payload?.length ?? 0) + id.length) + 16 * count + 2_048
}

/** Bytes of the content header frame of these properties, or of encoded ones. The protocol can't split it. */
export function headerFrameBytes(from: Options.Publish | Buffer): number {
  if (Buffer.isBuffer(from)) return HEADER_FRAME_BYTES + from.length
  const { headers, ...properties } = from
  let bytes = HEADER_FRAME_BYTES + SMALL_PROPERTIES_BYTES
  for (const value of [properties.contentType, properties.correlationId, properties.replyTo, properties.messageId])
    if (typeof value === 'string') bytes += 1 + Buffer.byteLength(value)
  for (const [name, value] of Object.entries((headers ?? {}) as Readonly<Record<string, unknown>>))
    if (typeof value === 'string') bytes += 6 + Buffer.byteLength(name) + Buffer.byteLength(value)
  return bytes
}

/** Requests and replies have the protocol's own properties as well, so that foreign clients can answer and ask. */
function addReplyProperties(properties: Options.Publish, headers: Headers): void {
  const replyTo = headers[WIRE_HEADERS.replyTo]
  if (replyTo !== undefined) {
    const target = requestIdOf(replyTo)
    if (target === undefined || !fitsShortString(target.inbox) || !fitsShortString(target.requestId)) return
    if (target.inbox.startsWith(DIRECT_REPLY_TO)) return
    properties.replyTo = target.inbox
    properties.correlationId = target.requestId
    return
  }
  const requestId = headers[REPLY_HEADERS.requestId]
  if (requestId !== undefined && fitsShortString(requestId)) properties.correlationId = requestId
}

/** Converts a message from the queue of replies, ours or a foreign responder's. */
export function replyOf(message: ConsumeMessage): IncomingReply {
  const { headers, correlationId } = message.properties
  const tombstone = headers?.[WIRE_HEADERS.tombstone] !== undefined && message.content.length === 0
  return {
    requestId: typeof correlationId === 'string' ? correlationId : undefined,
    headers: textsOf(message),
    payload: tombstone ? undefined : contentOf(message),
    timestamp: arrivedTimestamp(headers?.[WIRE_HEADERS.timestamp], propertyMilliseconds(message)),
  }
}

/** A foreign request names its queue, and what it knows the reply by. */
function foreignReplyTo({ replyTo, correlationId }: Message['properties']): string | undefined {
  if (typeof replyTo !== 'string' || replyTo === '') return undefined
  return typeof correlationId === 'string' && correlationId !== '' ? `${replyTo}#${correlationId}` : replyTo
}

function addUserHeaders(target: Record<string, string>, headers: Headers): void {
  let others: [string, string][] | undefined
  for (const name of Object.keys(headers)) {
    const value = headers[name] as string
    if (!UNUSABLE_HEADERS.has(name) && fitsShortString(name)) target[name] = value
    else {
      others ??= []
      others.push([name, value])
    }
  }
  if (others !== undefined) target[OTHER_HEADERS] = JSON.stringify(others)
}

/** Whether a text fits into a short string of the protocol. */
function fitsShortString(text: string): boolean {
  return text.length * 3 <= MAX_SHORT_STRING_BYTES || Buffer.byteLength(text) <= MAX_SHORT_STRING_BYTES
}

/** The id that the sender gave a message, ours or a foreign one, as loops know it. */
export function messageIdOf(message: Message): string | undefined {
  return arrivedId(sentId(message))
}

/** Recognises a message when it is delivered again: by its id, else by its content. */
export function fingerprintOf(message: Message): string {
  const id = messageIdOf(message)
  if (id !== undefined) return id
  const { timestamp } = message.properties
  return createHash('sha256')
    .update(`${message.fields.routingKey}\n${String(timestamp)}\n`)
    .update(message.content)
    .digest('base64url')
}

/** What is on record about a message that was delivered before. */
export interface History {
  readonly attempts: number
  readonly suspect: boolean
}

/** A received message as core takes it. */
export function toDelivery(
  message: ConsumeMessage,
  assignment: PartitionAssignment,
  history: History | undefined,
): Delivery {
  const { properties, fields } = message
  const bytes = propertyBytes(message)
  const headers = properties.headers
  const replyTo: unknown = headers?.[WIRE_HEADERS.replyTo] ?? foreignReplyTo(properties)
  const tombstone = headers?.[WIRE_HEADERS.tombstone] !== undefined && message.content.length === 0
  const content = contentOf(message)
  return new Delivery(assignment, {
    // Delivery tags count per channel: without the epoch a foreign message's made-up id would come again.
    id:
      messageIdOf(message) ??
      `${assignment.origin ?? assignment.topic}/${assignment.partition}/${assignment.epoch}-${fields.deliveryTag}`,
    key: ownKey(headers?.[WIRE_HEADERS.key]) ?? foreignKey(message, assignment.partition),
    payload: tombstone ? undefined : content,
    headers: textsOf(message),
    timestamp: message.properties.headers?.[WIRE_HEADERS.timestamp],
    brokerTimestamp: propertyMilliseconds(message),
    position: fields.deliveryTag,
    extraBytes: bytes?.length ?? 0,
    replyTo: typeof replyTo === 'string' ? replyTo : undefined,
    native: message,
    ...(bytes === undefined ? undefined : { form: AMQP_FORM }),
    ...historyOf(history?.attempts ?? 0),
    suspect: history?.suspect ?? false,
  })
}

/** What RabbitMQ names the type of a body that it took over from AMQP 1.0 as it was: encoded sections that aren't plain data. */
const AMQP_1_0_TYPE = 'amqp-1.0'

/** The payload: of what came by AMQP 1.0 the text, or the value as JSON. */
function contentOf({ content, properties }: Message): Buffer {
  return properties.type === AMQP_1_0_TYPE ? (amqpBodyOf(content) ?? content) : content
}

/** Returns the key in a header: a string, bytes, a number. */
function ownKey(value: unknown): string | undefined {
  return Buffer.isBuffer(value) ? value.toString() : textOf(value)
}

/**
 * A foreign sender's routing key is its key, unless it came by the default exchange or is the number of the message's own partition. Messages of ours
 * have the number of the partition that they were meant for, wherever they arrive.
 */
function foreignKey({ fields, properties }: Message, partition: number): string | undefined {
  const { routingKey, exchange } = fields
  if (exchange === '' || routingKey === '' || routingKey === String(partition)) return undefined
  const isOurs = /^\d{1,16}$/.test(String(properties.headers?.[WIRE_HEADERS.timestamp]))
  return isOurs && /^\d{1,5}$/.test(routingKey) ? undefined : routingKey
}

/**
 * The property `timestamp`, in milliseconds. AMQP 0-9-1 counts seconds (section 4.2.5.4); senders that put milliseconds, microseconds or
 * nanoseconds there are recognised by their size: a time beyond the year 5138 is counted in a smaller unit.
 */
export function propertyMilliseconds({ properties: { timestamp } }: Message): number | undefined {
  if (typeof timestamp !== 'number' || !(timestamp > 0) || timestamp === Infinity) return undefined
  let milliseconds = timestamp * 1_000
  while (milliseconds >= FAR_FUTURE_MS) milliseconds /= 1_000
  return Math.floor(milliseconds)
}
