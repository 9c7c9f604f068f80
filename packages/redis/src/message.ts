import {
  arrivedTimestamp,
  Delivery,
  type Headers,
  historyOf,
  type IncomingReply,
  type OutgoingRecord,
  type PartitionAssignment,
  WIRE_HEADERS,
} from '@streamswitch/core/driver'
import type { Argument } from './connection.js'
import { compareIds, millisecondsOf } from './position.js'

/** Before the name of each header. */
const HEADER_PREFIX = 'h.'

/** What is read of a timestamp: one more than any has, so that what is longer is recognised as none. */
const TIMESTAMP_CHARACTERS = 17

const NO_PAYLOAD = Buffer.alloc(0)
const NO_HEADERS: Headers = Object.freeze({})

/** An entry as the server holds it: its id, names and values in turn, and what the attempts of a pending one are. */
export type RawEntry = readonly [id: Buffer, fields: readonly Buffer[] | null, attempts?: Buffer]

/** An entry as `message.native` shows it. */
class RedisEntry {
  readonly id: string
  readonly #fields: readonly Buffer[]

  constructor(id: string, fields: readonly Buffer[]) {
    this.id = id
    this.#fields = fields
  }

  /** Names and values in the entry's order, also those that mean nothing to Streamswitch. */
  get fields(): [string, Buffer][] {
    const pairs: [string, Buffer][] = []
    for (let index = 0; index + 1 < this.#fields.length; index += 2)
      pairs.push([String(this.#fields[index]), this.#fields[index + 1] as Buffer])
    return pairs
  }
}

/** Appends a record as the publish script takes it: the usual shapes by a letter, others with their names. */
export function appendRecord(args: Argument[], record: OutgoingRecord): void {
  const { payload, key, headers } = record
  if (payload !== undefined && headers === undefined) {
    if (key === undefined) args.push('p', payload, record.id, String(record.timestamp))
    else args.push('k', payload, key, record.id, String(record.timestamp))
    return
  }
  const count = args.push('') - 1
  args.push(payload === undefined ? WIRE_HEADERS.tombstone : 'payload', payload ?? '1')
  if (key !== undefined) args.push('key', key)
  args.push('id', record.id, 'timestamp', String(record.timestamp))
  for (const name of Object.keys(headers ?? NO_HEADERS)) args.push(HEADER_PREFIX + name, headers?.[name] ?? '')
  args[count] = String(args.length - count - 1)
}

/** What is known of entries that were pending before this member got the partition. */
export interface Pending {
  /** Entries up to this id may have been running when a member died. */
  readonly suspectTo: string | undefined
}

/** What a member makes of entries. */
export interface ReadEntries {
  readonly deliveries: Delivery[]
  /** Pending entries whose message was deleted or trimmed. */
  readonly deleted: string[]
}

/** Makes deliveries of entries. */
export function readEntries(
  entries: readonly RawEntry[],
  assignment: PartitionAssignment,
  pending: Pending | undefined,
): ReadEntries {
  const deliveries: Delivery[] = []
  const deleted: string[] = []
  for (const [rawId, fields, attempts] of entries) {
    const id = rawId.toString('latin1')
    if (fields === null) deleted.push(id)
    else deliveries.push(readDelivery(id, fields, attempts, assignment, pending))
  }
  return { deliveries, deleted }
}

/** What the fields of an entry say. */
interface KnownFields {
  payload?: Buffer
  key?: string
  id?: string
  timestamp?: string
  replyTo?: string
  tombstone?: boolean
  /** Of all values. */
  bytes: number
  headers?: Record<string, string>
}

function readFields(fields: readonly Buffer[]): KnownFields {
  const known: KnownFields = { bytes: 0 }
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const name = fields[index]?.toString('latin1')
    const value = fields[index + 1] as Buffer
    known.bytes += value.length
    if (name === 'payload') known.payload = value
    else if (name === 'key') known.key = value.toString()
    else if (name === 'id') known.id = value.toString()
    else if (name === 'timestamp') known.timestamp = value.toString('latin1', 0, TIMESTAMP_CHARACTERS)
    else if (name === WIRE_HEADERS.tombstone) known.tombstone = true
    else if (name === HEADER_PREFIX + WIRE_HEADERS.replyTo) known.replyTo = value.toString()
    else if (name?.startsWith(HEADER_PREFIX)) setHeader(known, String(fields[index]), value)
  }
  return known
}

function readDelivery(
  entryId: string,
  fields: readonly Buffer[],
  attempts: Buffer | undefined,
  assignment: PartitionAssignment,
  pending: Pending | undefined,
): Delivery {
  const native = new RedisEntry(entryId, fields)
  const known = readFields(fields)
  const ours = known.payload !== undefined || known.tombstone === true
  return new Delivery(assignment, {
    id: ours ? known.id : undefined,
    key: ours ? known.key : undefined,
    payload: ours ? known.payload : foreignPayload(native),
    headers: (ours ? known.headers : undefined) ?? NO_HEADERS,
    timestamp: ours ? known.timestamp : undefined,
    brokerTimestamp: millisecondsOf(entryId),
    extraBytes: known.bytes - (known.payload?.length ?? 0),
    position: entryId,
    replyTo: ours ? known.replyTo : undefined,
    native,
    ...historyOf(attempts === undefined ? 0 : Number(attempts)),
    suspect: pending?.suspectTo !== undefined && compareIds(entryId, pending.suspectTo) <= 0,
  })
}

/** An entry of a reply inbox. `undefined` for the one that made it, and for what isn't ours. */
export function readReply([rawId, fields]: RawEntry): IncomingReply | undefined {
  const known = readFields(fields ?? [])
  if (known.payload === undefined && known.tombstone !== true) return undefined
  return {
    headers: known.headers ?? NO_HEADERS,
    payload: known.payload,
    timestamp: arrivedTimestamp(known.timestamp, millisecondsOf(rawId.toString('latin1'))),
  }
}

function setHeader(known: KnownFields, field: string, bytes: Buffer): void {
  known.headers ??= {}
  const name = field.slice(HEADER_PREFIX.length)
  const value = bytes.toString()
  if (name !== '__proto__') known.headers[name] = value
  else Object.defineProperty(known.headers, name, { value, enumerable: true, configurable: true, writable: true })
}

/** An entry that knows nothing of us: all its fields, as a JSON object. */
function foreignPayload(entry: RedisEntry): Buffer {
  const { fields } = entry
  if (fields.length === 0) return NO_PAYLOAD
  return Buffer.from(JSON.stringify(Object.fromEntries(fields.map(([name, value]) => [name, value.toString()]))))
}
