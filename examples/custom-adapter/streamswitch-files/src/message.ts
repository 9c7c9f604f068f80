import {
  Delivery,
  type Headers,
  type OutgoingRecord,
  type PartitionAssignment,
  WIRE_HEADERS,
} from '@streamswitch/core/driver'

const NEWLINE = 0x0a
const LARGEST_BODY = 1024 * 1024 * 1024

/**
 * The first line of a record in the log, as JSON. Everything but `bytes` may be missing in records of other writers.
 */
export interface RecordLine {
  /** Length of the payload that follows; `null` for a tombstone, which has no payload. */
  readonly bytes: number | null
  readonly id?: string | undefined
  readonly key?: string | undefined
  /** Milliseconds since the epoch. */
  readonly timestamp?: number | undefined
  readonly headers?: Headers | undefined
  /** Content type of the payload, for other readers. */
  readonly contentType?: string | undefined
}

/** A record of a log: `message.native`. */
export interface LogRecord {
  /** Its offset in the log, in bytes. */
  readonly position: number
  /** Offset of the next record. */
  readonly next: number
  readonly line: RecordLine
  readonly payload: Buffer | undefined
}

/** Result of parsing at an offset of a log. */
export type Parsed =
  | { readonly kind: 'record'; readonly record: LogRecord }
  /** A line that begins no record. */
  | { readonly kind: 'foreign'; readonly at: number; readonly next: number }
  /** Nothing yet, or the beginning of a record, at `at`. `bytes`: its size, if known. */
  | { readonly kind: 'incomplete'; readonly at: number; readonly bytes: number }

/** Encodes a record for the log: a line of JSON, then exactly the payload, then a newline. */
export function encodeRecord(record: OutgoingRecord, contentType: string | undefined): Buffer {
  const { id, key, timestamp, headers, payload } = record
  const line: RecordLine = { bytes: payload?.length ?? null, id, key, timestamp, headers, contentType }
  const first = Buffer.from(`${JSON.stringify(line)}\n`)
  return payload === undefined ? first : Buffer.concat([first, payload, Buffer.from('\n')])
}

/**
 * Parses at `offset` of `bytes`, which begin at `base` of the log. Blank lines are skipped: they replace a record that
 * its writer could not finish.
 */
export function parseRecord(bytes: Buffer, base: number, offset: number): Parsed {
  let at = offset
  while (bytes[at] === NEWLINE) at += 1
  const lineEnd = bytes.indexOf(NEWLINE, at)
  if (lineEnd === -1) return { kind: 'incomplete', at: base + at, bytes: 0 }
  const line = parseLine(bytes.toString('utf8', at, lineEnd))
  const body = lineEnd + 1
  if (line === undefined) return { kind: 'foreign', at: base + at, next: base + body }
  if (line.bytes === null) {
    return { kind: 'record', record: { position: base + at, next: base + body, line, payload: undefined } }
  }
  const end = body + line.bytes
  if (end >= bytes.length) return { kind: 'incomplete', at: base + at, bytes: end + 1 - at }
  if (bytes[end] !== NEWLINE) return { kind: 'foreign', at: base + at, next: base + body }
  const payload = bytes.subarray(body, end)
  return { kind: 'record', record: { position: base + at, next: base + end + 1, line, payload } }
}

function parseLine(text: string): RecordLine | undefined {
  if (!text.startsWith('{')) return undefined
  try {
    const line: RecordLine = JSON.parse(text)
    const { bytes } = line
    if (bytes === null) return line
    return Number.isInteger(bytes) && bytes >= 0 && bytes <= LARGEST_BODY ? line : undefined
  } catch {
    return undefined
  }
}

/**
 * Converts a record to a delivery. Records of other writers may lack everything but the payload, or have it in another
 * type.
 */
export function toDelivery(assignment: PartitionAssignment, record: LogRecord): Delivery {
  const { line, payload, position } = record
  const { [WIRE_HEADERS.replyTo]: replyTo, ...headers } = textsOf(line.headers)
  return new Delivery(assignment, {
    id: textOf(line.id),
    key: textOf(line.key),
    payload,
    headers,
    timestamp: line.timestamp,
    position,
    replyTo,
    native: record,
  })
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function textsOf(headers: unknown): Record<string, string> {
  if (typeof headers !== 'object' || headers === null) return {}
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => typeof value === 'string'))
}
