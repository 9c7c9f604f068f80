import { isUtf8 } from 'node:buffer'
import { arrivedId, type Headers, RESERVED_PREFIX, WIRE_HEADERS } from '@streamswitch/core/driver'

/** Prefix of header names. */
export const HEADER_PREFIX = 'h.'

const RESERVED_FIELDS = HEADER_PREFIX + RESERVED_PREFIX

/**
 * Characters of a timestamp that are read: one more than any valid one has, so that longer ones are recognised as
 * invalid.
 */
const TIMESTAMP_CHARACTERS = 17

const NO_PAYLOAD = Buffer.alloc(0)

/** A field's name and its value. Names may repeat. */
export type RawField = readonly [name: Buffer, value: Buffer]

/** An entry as `message.native` shows it. */
export class RedisEntry {
  readonly id: string
  readonly #fields: readonly Buffer[]

  constructor(id: string, fields: readonly Buffer[]) {
    this.id = id
    this.#fields = fields
  }

  /** Names and values in the entry's order, including those unknown to Streamswitch. */
  get fields(): [string, Buffer][] {
    return this.rawFields.map(([name, value]) => [String(name), value])
  }

  /** As `fields`, with the names' bytes. */
  get rawFields(): RawField[] {
    const pairs: RawField[] = []
    for (let index = 0; index + 1 < this.#fields.length; index += 2)
      pairs.push([this.#fields[index] as Buffer, this.#fields[index + 1] as Buffer])
    return pairs
  }

  /** The known fields. */
  get known(): KnownFields {
    return readFields(this.#fields)
  }
}

/**
 * The known fields of an entry. Names and values of headers that aren't UTF-8 are only in `native`; of a repeated field
 * the last one is used.
 */
export interface KnownFields {
  payload?: Buffer
  key?: Buffer
  /** `undefined` also for an empty one. */
  id?: string | undefined
  timestamp?: string
  replyTo?: string
  tombstone?: boolean
  /** Size of all values. */
  bytes: number
  /** The user's headers, and reserved ones. */
  headers?: Record<string, string>
  /** The reserved ones among them. */
  reserved?: Record<string, string>
  /** Id and timestamp as Streamswitch added them to an entry that has fields of these names with another meaning. */
  addedId?: string | undefined
  addedTimestamp?: string
}

export function readFields(fields: readonly Buffer[]): KnownFields {
  const known: KnownFields = { bytes: 0 }
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const name = fields[index]?.toString('latin1') ?? ''
    const value = fields[index + 1] as Buffer
    known.bytes += value.length
    if (name === 'payload') known.payload = value
    else if (name === 'key') known.key = value
    else if (name === 'id') known.id = arrivedId(value)
    else if (name === 'timestamp') known.timestamp = timestampOf(value)
    else if (name === WIRE_HEADERS.tombstone) known.tombstone = true
    else if (name.startsWith(RESERVED_FIELDS)) readReserved(known, name.slice(HEADER_PREFIX.length), value)
    else if (name.startsWith(HEADER_PREFIX)) readHeader(known, fields[index] as Buffer, value)
  }
  return known
}

/**
 * Returns whether the fields of an entry have the meaning defined by the wire format: when it has a payload, or the
 * mark of a tombstone. In other entries all fields are data.
 */
export function isOurs({ payload, tombstone }: KnownFields): boolean {
  return payload !== undefined || tombstone === true
}

/** Returns whether a field was added by Streamswitch and isn't the entry's own data. */
export function isReserved([name]: RawField): boolean {
  return name.toString('latin1').startsWith(RESERVED_FIELDS)
}

/** Returns the payload of a foreign entry: its fields, as a JSON object. */
export function foreignPayload(entry: RedisEntry): Buffer {
  const fields = entry.rawFields.filter((field) => !isReserved(field))
  if (fields.length === 0) return NO_PAYLOAD
  return Buffer.from(JSON.stringify(Object.fromEntries(fields.map(([name, value]) => [String(name), String(value)]))))
}

/** Returns the headers in an entry's fields. */
export function headersOf(known: KnownFields): Headers | undefined {
  return isOurs(known) ? known.headers : known.reserved
}

function readReserved(known: KnownFields, name: string, value: Buffer): void {
  if (name === WIRE_HEADERS.replyTo) known.replyTo = value.toString()
  else if (name === WIRE_HEADERS.id) known.addedId = arrivedId(value)
  else if (name === WIRE_HEADERS.timestamp) known.addedTimestamp = timestampOf(value)
  else if (isUtf8(value)) {
    known.headers ??= {}
    known.reserved ??= {}
    const text = value.toString()
    known.headers[name] = text
    known.reserved[name] = text
  }
}

function readHeader(known: KnownFields, field: Buffer, bytes: Buffer): void {
  if (!isUtf8(field)) return
  const name = String(field).slice(HEADER_PREFIX.length)
  known.headers ??= {}
  if (!isUtf8(bytes)) {
    // An earlier one of this name is overridden.
    if (Object.hasOwn(known.headers, name)) delete known.headers[name]
    return
  }
  const value = bytes.toString()
  if (name !== '__proto__') known.headers[name] = value
  else Object.defineProperty(known.headers, name, { value, enumerable: true, configurable: true, writable: true })
}

function timestampOf(value: Buffer): string {
  return value.toString('latin1', 0, TIMESTAMP_CHARACTERS)
}
