import {
  Delivery,
  type Headers,
  type OutgoingRecord,
  type PartitionAssignment,
  WIRE_HEADERS,
} from '@streamswitch/core/driver'
import { AmqpReader, type AmqpValue, toHeaderText } from './amqp10.js'

const Section = { properties: 0x73, applicationProperties: 0x74, data: 0x75, value: 0x77 } as const
const PropertyField = { messageId: 0, replyTo: 4, creationTime: 9 } as const
const NO_HEADERS: Headers = Object.freeze({})
/** Longest text whose UTF-8 form surely fits the short encoding (one byte of length). */
const SHORT_TEXT = 85
/** The sections without texts, payload and application properties. */
const FIXED_BYTES = 64
const ENTRY_BYTES = 10

/** A message as the broker keeps it: what `message.native` shows. */
export class NativeMessage {
  readonly stream: string
  readonly offset: number
  /** When the broker stored the chunk, in milliseconds since the epoch. */
  readonly chunkTimestamp: number
  /** The encoded AMQP 1.0 message. */
  readonly bytes: Buffer

  constructor(stream: string, offset: number, chunkTimestamp: number, bytes: Buffer) {
    this.stream = stream
    this.offset = offset
    this.chunkTimestamp = chunkTimestamp
    this.bytes = bytes
  }

  /** All sections, by their AMQP descriptor (0x70 header, 0x72 annotations, 0x73 properties, 0x74 application properties, …). */
  sections(): ReadonlyMap<number, AmqpValue> {
    const sections = new Map<number, AmqpValue>()
    const reader = new AmqpReader(this.bytes)
    while (reader.at < this.bytes.length) sections.set(readDescriptor(reader), reader.value())
    return sections
  }
}

/** No record takes more bytes than this on the wire. */
export function maxEncodedBytes(record: OutgoingRecord): number {
  let bytes = FIXED_BYTES + (record.payload?.length ?? 0) + record.id.length * 3
  if (record.key !== undefined) bytes += ENTRY_BYTES + WIRE_HEADERS.key.length + record.key.length * 3
  if (record.payload === undefined) bytes += ENTRY_BYTES + WIRE_HEADERS.tombstone.length
  const { headers } = record
  if (headers === undefined) return bytes
  for (const name of Object.keys(headers)) bytes += ENTRY_BYTES + (name.length + (headers[name]?.length ?? 0)) * 3
  return bytes
}

/** The last millisecond of JavaScript's dates. */
const MAX_TIMESTAMP = 8_640_000_000_000_000

/** Writes a record as an AMQP 1.0 message: properties, application properties, one data section. Returns where it ends. */
export function encodeRecord(target: Buffer, start: number, record: OutgoingRecord): number {
  const at = writeApplicationProperties(target, writeProperties(target, start, record), record)
  return writeData(target, at, record.payload)
}

function writeProperties(target: Buffer, start: number, record: OutgoingRecord): number {
  const fields = PropertyField.creationTime + 1
  let at = writeDescriptor(target, start, Section.properties)
  at = target.writeUInt8(0xd0, at)
  const sizeAt = at
  at = target.writeUInt32BE(fields, at + 4)
  at = writeText(target, at, record.id)
  target.fill(0x40, at, at + 8)
  at = target.writeUInt8(0x83, at + 8)
  // A date that the field can't hold, or no reader could make a date of, must not keep its batch from being sent.
  const timestamp = Math.min(MAX_TIMESTAMP, Math.max(0, Math.floor(record.timestamp)))
  at = target.writeUInt32BE(Math.floor(timestamp / 0x1_0000_0000), at)
  at = target.writeUInt32BE(timestamp % 0x1_0000_0000, at)
  target.writeUInt32BE(at - sizeAt - 4, sizeAt)
  return at
}

function writeApplicationProperties(target: Buffer, start: number, record: OutgoingRecord): number {
  const { key, payload, headers } = record
  if (key === undefined && payload !== undefined && headers === undefined) return start
  let at = writeDescriptor(target, start, Section.applicationProperties)
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
  if (headers !== undefined) for (const name of Object.keys(headers)) put(name, headers[name] ?? '')
  target.writeUInt32BE(at - sizeAt - 4, sizeAt)
  target.writeUInt32BE(entries * 2, sizeAt + 4)
  return at
}

function writeData(target: Buffer, start: number, payload: Buffer | undefined): number {
  let at = writeDescriptor(target, start, Section.data)
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

/** What only a member of a group knows of a record. */
export interface DeliveryContext {
  readonly priorAttempts?: number
  readonly wasAtWork?: boolean
  readonly suspect?: boolean
}

/** Makes a delivery of an encoded message. One that can't be read at all comes with its raw bytes as payload, so that it can be dead-lettered. */
export function toDelivery(assignment: PartitionAssignment, native: NativeMessage, context: DeliveryContext): Delivery {
  let parts: MessageParts
  try {
    parts = readMessage(native.bytes)
  } catch {
    parts = { ...EMPTY, payload: native.bytes }
  }
  return new Delivery(assignment, {
    id: parts.id,
    key: parts.key,
    payload: parts.tombstone ? undefined : parts.payload,
    headers: parts.headers,
    timestamp: parts.timestamp,
    brokerTimestamp: native.chunkTimestamp,
    extraBytes: native.bytes.length - parts.payload.length,
    position: native.offset,
    replyTo: parts.replyTo,
    native,
    ...context,
  })
}

interface MessageParts {
  id: string | undefined
  key: string | undefined
  replyTo: string | undefined
  timestamp: Date | undefined
  tombstone: boolean
  headers: Headers
  payload: Buffer
}

const EMPTY: MessageParts = {
  id: undefined,
  key: undefined,
  replyTo: undefined,
  timestamp: undefined,
  tombstone: false,
  headers: NO_HEADERS,
  payload: Buffer.alloc(0),
}

function readMessage(bytes: Buffer): MessageParts {
  const parts = { ...EMPTY }
  const reader = new AmqpReader(bytes)
  let hasBody = false
  while (reader.at < bytes.length) {
    const section = readDescriptor(reader)
    if (section === Section.properties) readProperties(reader, parts)
    else if (section === Section.applicationProperties) readApplicationProperties(reader, parts)
    else if (section === Section.data || section === Section.value) {
      const body = toBytes(reader.value())
      // A body may be cut into several data sections.
      parts.payload = hasBody ? Buffer.concat([parts.payload, body]) : body
      hasBody = true
    } else reader.skip()
  }
  return parts
}

function readDescriptor(reader: AmqpReader): number {
  if (reader.u8() !== 0x00) throw new RangeError('a section without descriptor')
  const descriptor = reader.value()
  return typeof descriptor === 'number' ? descriptor : -1
}

function readProperties(reader: AmqpReader, parts: MessageParts): void {
  const count = reader.compound()
  for (let field = 0; field < count; field += 1) {
    if (field === PropertyField.messageId) parts.id = identifier(reader.value())
    else if (field === PropertyField.replyTo) parts.replyTo = identifier(reader.value())
    else if (field === PropertyField.creationTime) {
      const time = reader.value()
      if (time instanceof Date) parts.timestamp = time
    } else reader.skip()
  }
}

function readApplicationProperties(reader: AmqpReader, parts: MessageParts): void {
  const count = reader.compound()
  const headers: Record<string, string> = {}
  for (let index = 0; index + 1 < count; index += 2) {
    const name = String(reader.value())
    const text = toHeaderText(reader.value())
    if (text === undefined) continue
    if (name === WIRE_HEADERS.key) parts.key = text
    else if (name === WIRE_HEADERS.tombstone) parts.tombstone = true
    else if (name === WIRE_HEADERS.replyTo) parts.replyTo = text
    // A header may be called __proto__: assignment would not make a property of it.
    else Object.defineProperty(headers, name, { value: text, enumerable: true, configurable: true, writable: true })
  }
  parts.headers = headers
}

/** Message ids may be texts, numbers, UUIDs or bytes. */
function identifier(value: AmqpValue): string | undefined {
  if (value === null || value === '') return undefined
  return Buffer.isBuffer(value) ? value.toString('hex') : toHeaderText(value)
}

function toBytes(value: AmqpValue): Buffer {
  return Buffer.isBuffer(value) ? value : Buffer.from(toHeaderText(value) ?? '')
}
