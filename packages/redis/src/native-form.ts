import { isUtf8 } from 'node:buffer'
import {
  keepsNativeHeader,
  MAX_KEY_BYTES,
  type NativeForm,
  type OutgoingRecord,
  RESERVED_PREFIX,
  WIRE_HEADERS,
} from '@streamswitch/core/driver'
import { HEADER_PREFIX, isOurs, isReserved, type KnownFields, type RawField, type RedisEntry } from './entry.js'

const KNOWN_FIELDS: ReadonlySet<string> = new Set(['payload', 'key', 'id', 'timestamp', WIRE_HEADERS.tombstone])

/** Redis entries hold fields of any name, bytes as names and values, and fields of the same name. */
export const REDIS_FORM: NativeForm = {
  format: 'redis',
  beyondPortable(native) {
    const entry = native as RedisEntry
    const known = entry.known
    const ours = isOurs(known)
    const lost = new Set<string>(ours ? [] : ['its own fields'])
    if (ours && known.key !== undefined && (!isUtf8(known.key) || known.key.length > MAX_KEY_BYTES))
      lost.add('key bytes')
    const seen = new Set<string>()
    for (const field of entry.rawFields) {
      if (isReserved(field)) continue
      const [name, value] = field
      const text = String(name)
      const called = text.startsWith(HEADER_PREFIX) ? `header '${text.slice(HEADER_PREFIX.length)}'` : `field '${text}'`
      if (seen.has(text)) lost.add(`${called} (repeated)`)
      seen.add(text)
      if (ours && KNOWN_FIELDS.has(text)) continue
      if (ours && !text.startsWith(HEADER_PREFIX)) lost.add(called)
      else if (!isUtf8(name) || !isUtf8(value)) lost.add(`${called} (bytes)`)
    }
    return [...lost]
  },
}

/** The key's bytes, by which a record's partition is chosen: the original's if it is forwarded. */
export function keyOf({ key, original }: OutgoingRecord): string | Buffer | undefined {
  if (key === undefined || original === undefined) return key
  return (original.native as RedisEntry).known.key ?? key
}

/**
 * The fields of a forwarded entry, unchanged, and those that the record adds: its headers, and its id and time if the
 * entry's own fields don't have them. `undefined` for a record that isn't a received entry, and for an entry without a
 * payload that gets user headers: among its own fields they would be data.
 */
export function nativeFieldsOf(record: OutgoingRecord): (string | Buffer)[] | undefined {
  const { original, headers = {} } = record
  if (original?.part !== 'message') return undefined
  const entry = original.native as RedisEntry
  const known = entry.known
  const ours = isOurs(known)
  if (!ours && Object.keys(headers).some((name) => !name.startsWith(RESERVED_PREFIX))) return undefined
  const kept = new Set<string>()
  const fields = entry.rawFields.filter((field) => keeps(field, known, ours, headers, kept)).flat()
  if (!ours || known.id !== record.id) fields.push(fieldBytes(WIRE_HEADERS.id), Buffer.from(record.id))
  if (!ours || known.timestamp !== String(record.timestamp))
    fields.push(fieldBytes(WIRE_HEADERS.timestamp), Buffer.from(String(record.timestamp)))
  for (const name of Object.keys(headers))
    if (!kept.has(name)) fields.push(fieldBytes(name), Buffer.from(headers[name] ?? ''))
  return fields
}

/** Collects the headers of the record that the entry already has. */
function keeps(
  field: RawField,
  known: KnownFields,
  ours: boolean,
  headers: Readonly<Record<string, string>>,
  kept: Set<string>,
): boolean {
  const [bytes] = field
  // A name that isn't text can't be one of the record's.
  if (!isUtf8(bytes)) return !isReserved(field)
  const text = String(bytes)
  if (!text.startsWith(HEADER_PREFIX)) return true
  const name = text.slice(HEADER_PREFIX.length)
  if (!ours && !name.startsWith(RESERVED_PREFIX)) return true
  const shown = known.headers !== undefined && Object.hasOwn(known.headers, name) ? known.headers[name] : undefined
  if (!keepsNativeHeader(name, shown, headers)) return false
  kept.add(name)
  return true
}

function fieldBytes(header: string): Buffer {
  return Buffer.from(HEADER_PREFIX + header)
}
