import { isUtf8 } from 'node:buffer'
import {
  AmqpReader,
  AmqpSection,
  arrivedKey,
  isBody,
  keepsNativeHeader,
  MAX_KEY_BYTES,
  type NativeForm,
  type OriginalRecord,
  type OutgoingRecord,
  RESERVED_PREFIX,
  readDescriptor,
  toHeaderText,
  WIRE_HEADERS,
} from '@streamswitch/core/driver'
import { encodePortable, keyText, maxPortableBytes, PropertyField, readMessage, textEntry } from './message.js'
import type { NativeMessage } from './native-message.js'

/** What the broker adds to messages that came by AMQP. */
const BROKER_ANNOTATIONS: ReadonlySet<string> = new Set(['x-exchange', 'x-routing-key'])
const PROPERTY_NAMES = [
  'message-id',
  'user-id',
  'to',
  'subject',
  'reply-to',
  'correlation-id',
  'content-type',
  'content-encoding',
  'absolute-expiry-time',
  'creation-time',
  'group-id',
  'group-sequence',
  'reply-to-group-id',
]
const PORTABLE: ReadonlySet<number> = new Set([PropertyField.messageId, PropertyField.creationTime])
/** Addresses of ours begin so. */
const OWN_ADDRESS = 'streamswitch:'

/** Messages are AMQP 1.0: sections, and values of types. */
export const STREAM_FORM: NativeForm = {
  format: 'rabbitmq-stream',
  beyondPortable(native) {
    try {
      return [...beyond((native as NativeMessage).bytes)]
    } catch {
      return []
    }
  },
}

function* beyond(bytes: Buffer): Generator<string> {
  for (const { code, valueAt } of sectionsOf(bytes)) {
    const reader = new AmqpReader(bytes, valueAt)
    if (code === AmqpSection.annotations) yield* beyondAnnotations(reader)
    else if (code === AmqpSection.properties) yield* beyondProperties(reader)
    else if (code === AmqpSection.applicationProperties) yield* beyondHeaders(reader)
    else if (code === AmqpSection.sequence) yield 'body (amqp-sequence)'
    else if (code === AmqpSection.value) yield 'body (amqp-value)'
    else if (code === AmqpSection.footer) yield 'footer'
  }
}

function* beyondAnnotations(reader: AmqpReader): Generator<string> {
  for (let count = reader.compound(); count > 1; count -= 2) {
    const name = String(reader.value())
    reader.skip()
    if (!BROKER_ANNOTATIONS.has(name)) yield `annotation '${name}'`
  }
}

function* beyondProperties(reader: AmqpReader): Generator<string> {
  const count = reader.compound()
  for (let field = 0; field < count; field += 1) {
    const value = reader.value()
    if (value !== null && !PORTABLE.has(field)) yield `property '${PROPERTY_NAMES[field] ?? field}'`
  }
}

function* beyondHeaders(reader: AmqpReader): Generator<string> {
  for (let count = reader.compound(); count > 1; count -= 2) {
    const name = String(reader.value())
    const value = reader.value()
    if (name === WIRE_HEADERS.key) {
      const isLong = Buffer.byteLength(keyText(value)) > MAX_KEY_BYTES
      if (isLong || (Buffer.isBuffer(value) && !isUtf8(value))) yield 'key bytes'
    } else if (!name.startsWith(RESERVED_PREFIX) && toHeaderText(value) === undefined) yield `header '${name}' (bytes)`
  }
}

interface Section {
  readonly code: number
  readonly start: number
  readonly valueAt: number
  readonly end: number
}

function sectionsOf(bytes: Buffer): Section[] {
  const sections: Section[] = []
  const reader = new AmqpReader(bytes)
  while (reader.at < bytes.length) {
    const start = reader.at
    const code = readDescriptor(reader)
    const valueAt = reader.at
    reader.skip()
    sections.push({ code, start, valueAt, end: reader.at })
  }
  return sections
}

/** Encoded once, however often a record is written: again after a loss, or into a separate frame. */
const ENCODED = new WeakMap<OutgoingRecord, Buffer>()

/** A record that is passed on: the sections of its original, with the headers that the record has. */
export function encodedOriginal(record: OutgoingRecord): Buffer | undefined {
  if (record.original === undefined) return undefined
  let bytes = ENCODED.get(record)
  if (bytes === undefined) {
    bytes = encodedWith(record, record.original)
    ENCODED.set(record, bytes)
  }
  return bytes
}

/**
 * A message can be readable enough for a handler and still be damaged, for example between its sections: then the
 * record is written from what was read.
 */
function encodedWith(record: OutgoingRecord, { native, part }: OriginalRecord): Buffer {
  const message = native as NativeMessage
  try {
    return part === 'key' ? withKeyOf(message, record) : passedOn(message, record)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return encodedAlone({ ...record, original: undefined })
  }
}

function encodedAlone(record: OutgoingRecord): Buffer {
  const target = Buffer.allocUnsafe(maxPortableBytes(record))
  return target.subarray(0, encodePortable(target, 0, record))
}

/** The record itself, and of its original the key's bytes. */
function withKeyOf(native: NativeMessage, record: OutgoingRecord): Buffer {
  const own = encodedAlone({ ...record, key: undefined, original: undefined })
  const entries = entriesOf(own, sectionsOf(own)).map(({ bytes }) => bytes)
  return assemble(own, [keyEntry(native, record) ?? [], entries].flat())
}

function passedOn(native: NativeMessage, record: OutgoingRecord): Buffer {
  const { bytes } = native
  const received = readMessage(bytes)
  const entries: Buffer[] = []
  const kept = new Set<string>()
  for (const { name, text, bytes: entry } of entriesOf(bytes, sectionsOf(bytes))) {
    // Several of one name are shown as the last one of them.
    const shown = Object.hasOwn(received.headers, name) ? received.headers[name] : text
    if (!keepsNativeHeader(name, shown, record.headers)) continue
    kept.add(name)
    entries.push(entry)
  }
  const key = keyEntry(native, record)
  if (key !== undefined) entries.push(key)
  if (record.payload === undefined) entries.push(textEntry(WIRE_HEADERS.tombstone, '1'))
  if (received.propertyId !== record.id) entries.push(textEntry(WIRE_HEADERS.id, record.id))
  if (received.propertyTime !== record.timestamp)
    entries.push(textEntry(WIRE_HEADERS.timestamp, String(record.timestamp)))
  for (const [name, value] of Object.entries(record.headers ?? {}))
    if (!kept.has(name)) entries.push(textEntry(name, value))
  return assemble(bytes, entries)
}

/** The key as the original has it, where it is the record's. */
function keyEntry({ bytes }: NativeMessage, { key }: OutgoingRecord): Buffer | undefined {
  if (key === undefined) return undefined
  const native = entriesOf(bytes, sectionsOf(bytes)).findLast(({ name }) => name === WIRE_HEADERS.key)
  return native !== undefined && arrivedKey(native.key) === key ? native.bytes : textEntry(WIRE_HEADERS.key, key)
}

interface Entry {
  readonly name: string
  /** As a header shows it; `undefined`: it has no text. */
  readonly text: string | undefined
  readonly key: string
  /** Name and value. */
  readonly bytes: Buffer
}

function entriesOf(bytes: Buffer, sections: readonly Section[]): Entry[] {
  const entries: Entry[] = []
  for (const { code, valueAt } of sections) {
    if (code !== AmqpSection.applicationProperties) continue
    const reader = new AmqpReader(bytes, valueAt)
    for (let count = reader.compound(); count > 1; count -= 2) {
      const start = reader.at
      const name = String(reader.value())
      const value = reader.value()
      entries.push({ name, text: toHeaderText(value), key: keyText(value), bytes: bytes.subarray(start, reader.at) })
    }
  }
  return entries
}

/** The sections of a message with other application properties, which stand before the body. */
function assemble(bytes: Buffer, entries: readonly Buffer[]): Buffer {
  const parts: Buffer[] = []
  let isWritten = entries.length === 0
  for (const { code, start, valueAt, end } of sectionsOf(bytes)) {
    if (!isWritten && (code === AmqpSection.applicationProperties || isBody(code) || code === AmqpSection.footer)) {
      parts.push(applicationProperties(entries))
      isWritten = true
    }
    if (code === AmqpSection.applicationProperties) continue
    parts.push(
      code === AmqpSection.properties ? withoutOwnAddress(bytes, start, valueAt, end) : bytes.subarray(start, end),
    )
  }
  if (!isWritten) parts.push(applicationProperties(entries))
  return Buffer.concat(parts)
}

function applicationProperties(entries: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(12)
  head.writeUInt8(0x53, 1)
  head.writeUInt8(AmqpSection.applicationProperties, 2)
  head.writeUInt8(0xd1, 3)
  head.writeUInt32BE(
    entries.reduce((sum, { length }) => sum + length, 4),
    4,
  )
  head.writeUInt32BE(entries.length * 2, 8)
  return Buffer.concat([head, ...entries])
}

/** A request of ours that is sent again has no caller any more. */
function withoutOwnAddress(bytes: Buffer, start: number, valueAt: number, end: number): Buffer {
  const reader = new AmqpReader(bytes, valueAt)
  const count = reader.compound()
  const fields: Buffer[] = []
  let isOurs = false
  for (let field = 0; field < count; field += 1) {
    const at = reader.at
    const value = reader.value()
    const own = field === PropertyField.replyTo && typeof value === 'string' && value.startsWith(OWN_ADDRESS)
    isOurs ||= own
    fields.push(own ? Buffer.of(0x40) : bytes.subarray(at, reader.at))
  }
  if (!isOurs) return bytes.subarray(start, end)
  const head = Buffer.alloc(9)
  head.writeUInt8(0xd0, 0)
  head.writeUInt32BE(
    fields.reduce((sum, { length }) => sum + length, 4),
    1,
  )
  head.writeUInt32BE(count, 5)
  return Buffer.concat([bytes.subarray(start, valueAt), head, ...fields])
}
