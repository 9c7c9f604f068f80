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
import { foreignPayload, HEADER_PREFIX, headersOf, isOurs, RedisEntry, readFields } from './entry.js'
import { keyOf, nativeFieldsOf, REDIS_FORM } from './native-form.js'
import { compareIds, millisecondsOf } from './position.js'

const NO_HEADERS: Headers = Object.freeze({})

/** An entry as the server returns it: its id, names and values in turn, and the attempts of a pending one. */
export type RawEntry = readonly [id: Buffer, fields: readonly Buffer[] | null, attempts?: Buffer]

/** Appends a record in the format of the publish script: the usual shapes by a letter, others with their names. */
export function appendRecord(args: Argument[], record: OutgoingRecord): void {
  const { payload, headers } = record
  const native = nativeFieldsOf(record)
  if (native !== undefined) {
    args.push(String(native.length), ...native)
    return
  }
  const key = keyOf(record)
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

/** What is known about entries that were pending before this member got the partition. */
export interface Pending {
  /** Entries up to this id may have been running when a member died. */
  readonly suspectTo: string | undefined
  /** Those of them that the last owner gave back in good order. Default: none. */
  readonly returned?: ReadonlySet<string>
}

/** The result of reading entries. */
export interface ReadEntries {
  readonly deliveries: Delivery[]
  /** Pending entries whose message was deleted or trimmed. */
  readonly deleted: string[]
}

/** Converts entries to deliveries. */
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

function readDelivery(
  entryId: string,
  fields: readonly Buffer[],
  attempts: Buffer | undefined,
  assignment: PartitionAssignment,
  pending: Pending | undefined,
): Delivery {
  const native = new RedisEntry(entryId, fields)
  const known = readFields(fields)
  const ours = isOurs(known)
  return new Delivery(assignment, {
    id: known.addedId ?? (ours ? known.id : undefined),
    key: ours ? known.key?.toString() : undefined,
    payload: ours ? known.payload : foreignPayload(native),
    headers: headersOf(known) ?? NO_HEADERS,
    timestamp: known.addedTimestamp ?? (ours ? known.timestamp : undefined),
    brokerTimestamp: millisecondsOf(entryId),
    extraBytes: known.bytes - (known.payload?.length ?? 0),
    position: entryId,
    replyTo: ours ? known.replyTo : undefined,
    native,
    form: REDIS_FORM,
    ...historyOf(attempts === undefined ? 0 : Number(attempts)),
    suspect: isSuspect(entryId, pending),
  })
}

function isSuspect(entryId: string, pending: Pending | undefined): boolean {
  if (pending?.suspectTo === undefined || compareIds(entryId, pending.suspectTo) > 0) return false
  return pending.returned?.has(entryId) !== true
}

/** Converts an entry of a reply inbox. `undefined` for the one that created it, and for entries that aren't ours. */
export function readReply([rawId, fields]: RawEntry): IncomingReply | undefined {
  const known = readFields(fields ?? [])
  if (!isOurs(known)) return undefined
  return {
    headers: known.headers ?? NO_HEADERS,
    payload: known.payload,
    timestamp: arrivedTimestamp(known.timestamp, millisecondsOf(rawId.toString('latin1'))),
  }
}
