import {
  AmqpBody,
  AmqpReader,
  AmqpSection,
  type AmqpValue,
  arrivedId,
  Delivery,
  type Headers,
  isBody,
  type NativeForm,
  type OutgoingRecord,
  type PartitionAssignment,
  readDescriptor,
  toHeaderText,
  WIRE_HEADERS,
} from '@streamswitch/core/driver'
import type { NativeMessage } from './native-message.js'

/** Fields of the section `properties`. */
export const PropertyField = { messageId: 0, replyTo: 4, creationTime: 9 } as const
const TIMESTAMP_CODE = 0x83
const NO_HEADERS: Headers = Object.freeze({})
/** Maximum length of a string whose UTF-8 form certainly fits the short encoding (one byte of length). */
const SHORT_TEXT = 85
/** The sections without texts, payload and application properties. */
const FIXED_BYTES = 64
const ENTRY_BYTES = 10

/** No record takes more bytes than this on the wire, unless it is passed on as it came. */
export function maxPortableBytes(record: OutgoingRecord): number {
  let bytes = FIXED_BYTES + (record.payload?.length ?? 0) + record.id.length * 3
  if (record.key !== undefined) bytes += ENTRY_BYTES + WIRE_HEADERS.key.length + record.key.length * 3
  if (record.payload === undefined) bytes += ENTRY_BYTES + WIRE_HEADERS.tombstone.length
  if (record.timestamp >= FAR_FUTURE_MS) bytes += 2 * ENTRY_BYTES + WIRE_HEADERS.timestamp.length
  const { headers } = record
  if (headers === undefined) return bytes
  for (const name of Object.keys(headers)) bytes += ENTRY_BYTES + (name.length + (headers[name]?.length ?? 0)) * 3
  return bytes
}

/** The last millisecond of JavaScript's dates. */
const MAX_TIMESTAMP = 8_640_000_000_000_000

/** A time that is never meant: the year 5138. What seems to be beyond is counted in microseconds or nanoseconds. */
const FAR_FUTURE_MS = 100_000_000_000_000
/** The year 2200. */
const LATEST_OTHER_UNIT_MS = 7_258_118_400_000

/** Writes a record as an AMQP 1.0 message: properties, application properties, one data section. Returns where it ends. */
export function encodePortable(target: Buffer, start: number, record: OutgoingRecord): number {
  const at = writeApplicationProperties(target, writeProperties(target, start, record), record)
  return writeData(target, at, record.payload)
}

function writeProperties(target: Buffer, start: number, record: OutgoingRecord): number {
  const fields = PropertyField.creationTime + 1
  let at = writeDescriptor(target, start, AmqpSection.properties)
  at = target.writeUInt8(0xd0, at)
  const sizeAt = at
  at = target.writeUInt32BE(fields, at + 4)
  at = writeText(target, at, record.id)
  target.fill(0x40, at, at + 8)
  at = target.writeUInt8(TIMESTAMP_CODE, at + 8)
  const timestamp = writableTimestamp(record)
  at = target.writeUInt32BE(Math.floor(timestamp / 0x1_0000_0000), at)
  at = target.writeUInt32BE(timestamp % 0x1_0000_0000, at)
  target.writeUInt32BE(at - sizeAt - 4, sizeAt)
  return at
}

/** A date that the field can't hold, or no reader could make a date of, must not keep its batch from being sent. */
function writableTimestamp({ timestamp }: OutgoingRecord): number {
  return Math.min(MAX_TIMESTAMP, Math.max(0, Math.floor(timestamp)))
}

function writeApplicationProperties(target: Buffer, start: number, record: OutgoingRecord): number {
  const { key, payload, headers } = record
  const isFar = record.timestamp >= FAR_FUTURE_MS
  if (key === undefined && payload !== undefined && headers === undefined && !isFar) return start
  let at = writeDescriptor(target, start, AmqpSection.applicationProperties)
  at = target.writeUInt8(0xd1, at)
  const sizeAt = at
  at += 8
  let entries = 0
  const put = (name: string, value: string): void => {
    at = writeText(target, writeText(target, at, name), value)
    entries += 1
  }
  if (key !== undefined) put(WIRE_HEADERS.key, key)
  if (payload === undefined) put(WIRE_HEADERS.tombstone, '1')
  // It would be taken for one in another unit.
  if (isFar) put(WIRE_HEADERS.timestamp, String(writableTimestamp(record)))
  if (headers !== undefined) for (const name of Object.keys(headers)) put(name, headers[name] ?? '')
  target.writeUInt32BE(at - sizeAt - 4, sizeAt)
  target.writeUInt32BE(entries * 2, sizeAt + 4)
  return at
}

function writeData(target: Buffer, start: number, payload: Buffer | undefined): number {
  let at = writeDescriptor(target, start, AmqpSection.data)
  const length = payload === undefined ? 0 : payload.length
  if (length <= 255) at = target.writeUInt8(length, target.writeUInt8(0xa0, at))
  else at = target.writeUInt32BE(length, target.writeUInt8(0xb0, at))
  return payload === undefined ? at : at + payload.copy(target, at)
}

function writeDescriptor(target: Buffer, at: number, section: number): number {
  target[at] = 0x00
  target[at + 1] = 0x53
  target[at + 2] = section
  return at + 3
}

function writeText(target: Buffer, at: number, text: string): number {
  if (text.length <= SHORT_TEXT) {
    const length = target.write(text, at + 2, 'utf8')
    target[at] = 0xa1
    target[at + 1] = length
    return at + 2 + length
  }
  const length = target.write(text, at + 5, 'utf8')
  target[at] = 0xb1
  target.writeUInt32BE(length, at + 1)
  return at + 5 + length
}

/** A pair of application properties, as bytes. */
export function textEntry(name: string, value: string): Buffer {
  const target = Buffer.allocUnsafe(ENTRY_BYTES + (name.length + value.length) * 3)
  return target.subarray(0, writeText(target, writeText(target, 0, name), value))
}

/** What only a member of a group knows of a record. */
export interface DeliveryContext {
  readonly priorAttempts?: number
  readonly wasAtWork?: boolean
  readonly suspect?: boolean
}

/**
 * Makes a delivery of an encoded message. One that can't be read at all comes with its raw bytes as payload, so that it can be dead-lettered.
 *
 * @param form - what the message is passed on as.
 */
export function toDelivery(
  assignment: PartitionAssignment,
  native: NativeMessage,
  context: DeliveryContext,
  form?: NativeForm,
): Delivery {
  let parts: MessageParts
  let isRead = true
  try {
    parts = readMessage(native.bytes)
  } catch {
    parts = { ...EMPTY, payload: native.bytes }
    isRead = false
  }
  return new Delivery(assignment, {
    id: parts.ownId ?? parts.propertyId,
    key: parts.key,
    payload: parts.tombstone ? undefined : parts.payload,
    headers: parts.headers,
    timestamp: parts.ownTime,
    brokerTimestamp: parts.propertyTime ?? native.chunkTimestamp,
    extraBytes: Math.max(0, native.bytes.length - parts.payload.length),
    position: native.offset,
    replyTo: parts.replyTo,
    native,
    ...(isRead && form !== undefined ? { form } : undefined),
    ...context,
  })
}

/** What a message says. */
export interface MessageParts {
  /** Of the properties, as messages are known by it. */
  propertyId: string | undefined
  /** Of the application properties: what a message without an id was given. */
  ownId: string | undefined
  key: string | undefined
  replyTo: string | undefined
  /** Of the properties, in milliseconds since the epoch. */
  propertyTime: number | undefined
  ownTime: string | undefined
  tombstone: boolean
  headers: Headers
  payload: Buffer
}

const EMPTY: MessageParts = {
  propertyId: undefined,
  ownId: undefined,
  key: undefined,
  replyTo: undefined,
  propertyTime: undefined,
  ownTime: undefined,
  tombstone: false,
  headers: NO_HEADERS,
  payload: Buffer.alloc(0),
}

/** Reads a message. Throws RangeError where it is no AMQP 1.0. */
export function readMessage(bytes: Buffer): MessageParts {
  const parts = { ...EMPTY }
  const reader = new AmqpReader(bytes)
  let body: AmqpBody | undefined
  while (reader.at < bytes.length) {
    const section = readDescriptor(reader)
    if (section === AmqpSection.properties) readProperties(reader, parts)
    else if (section === AmqpSection.applicationProperties) readApplicationProperties(reader, parts)
    else if (isBody(section)) {
      body ??= new AmqpBody()
      body.add(section, reader.value())
    } else reader.skip()
  }
  parts.payload = body?.bytes ?? EMPTY.payload
  return parts
}

function readProperties(reader: AmqpReader, parts: MessageParts): void {
  const count = reader.compound()
  for (let field = 0; field < count; field += 1) {
    if (field === PropertyField.messageId) parts.propertyId = arrivedId(identifier(reader.value()))
    else if (field === PropertyField.replyTo) parts.replyTo ??= identifier(reader.value())
    else if (field === PropertyField.creationTime) parts.propertyTime = milliseconds(reader)
    else reader.skip()
  }
}

/**
 * AMQP 1.0 counts milliseconds (part 1, section 1.6.17); senders that put microseconds or nanoseconds there are recognised by their size. What would then
 * still be later than the year 2200 is no time.
 */
function milliseconds(reader: AmqpReader): number | undefined {
  const isTime = reader.bytes[reader.at] === TIMESTAMP_CODE
  // A date holds no nanoseconds since the epoch.
  let time = isTime ? Number(reader.bytes.readBigInt64BE(reader.at + 1)) : -1
  reader.skip()
  const isOtherUnit = time >= FAR_FUTURE_MS
  while (time >= FAR_FUTURE_MS) time /= 1_000
  return time < 0 || (isOtherUnit && time > LATEST_OTHER_UNIT_MS) ? undefined : Math.floor(time)
}

function readApplicationProperties(reader: AmqpReader, parts: MessageParts): void {
  const count = reader.compound()
  const headers: Record<string, string> = {}
  for (let index = 0; index + 1 < count; index += 2) {
    const name = String(reader.value())
    const value = reader.value()
    const text = toHeaderText(value)
    if (name === WIRE_HEADERS.key) parts.key = keyText(value)
    else if (name === WIRE_HEADERS.tombstone) parts.tombstone = true
    else if (name === WIRE_HEADERS.replyTo) parts.replyTo = text
    else if (name === WIRE_HEADERS.id) parts.ownId = arrivedId(text)
    else if (name === WIRE_HEADERS.timestamp) parts.ownTime = text
    else if (text === undefined) delete headers[name]
    // A header may be called __proto__: assignment would not make a property of it.
    else Object.defineProperty(headers, name, { value: text, enumerable: true, configurable: true, writable: true })
  }
  parts.headers = headers
}

/** A key may be bytes, a number, anything. */
export function keyText(value: AmqpValue): string {
  return Buffer.isBuffer(value) ? value.toString() : (toHeaderText(value) ?? '')
}

/** Message ids may be texts, numbers, UUIDs or bytes. */
function identifier(value: AmqpValue): string | undefined {
  if (value === null || value === '') return undefined
  return Buffer.isBuffer(value) ? value.toString('hex') : toHeaderText(value)
}
