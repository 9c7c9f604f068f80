import { type Headers, StreamError } from '@streamswitch/core/driver'
import type { AttemptNumbers, InboundRecord, Outgoing } from '../message.js'
import {
  checkHeaders,
  checkLimit,
  isId,
  isKey,
  isTimestamp,
  MAX_BATCH_ENTRIES,
  MAX_FRAMES,
  MAX_GROUPS,
  MAX_HEAD_BYTES,
  MAX_HEADERS,
} from './limits.js'

/** Content type of a request that carries many records. The version is part of it: another one is refused with 415. */
export const BATCH_TYPE = 'application/vnd.streamswitch.batch.v1'
/** What all versions begin with. */
export const BATCH_TYPE_FAMILY = 'application/vnd.streamswitch.batch'
/** Content type of the response: one JSON object per line, as outcomes come in. */
export const OUTCOMES_TYPE = 'application/x-ndjson'

/** The head of each payload, as JSON. */
interface FrameHead {
  readonly id?: string
  readonly key?: string
  readonly timestamp?: number
  readonly headers?: Headers
  readonly attempt?: number | Readonly<Record<string, number>>
  readonly unanswered?: number
  readonly resend?: number
  readonly except?: readonly string[]
  readonly tombstone?: true
}

/** Bytes of one frame that aren't payload, at most: for packing requests. */
export function frameOverhead({ record }: Outgoing): number {
  // JSON writes a character as six bytes at worst; the rest is for names, numbers and group lists.
  return 512 + 6 * (record.size - (record.payload?.length ?? 0) + record.id.length)
}

/** How many headers and groups a frame has: for packing requests. */
export function frameEntries({ record, attempt, except }: Outgoing): number {
  const attempts = typeof attempt === 'number' ? 0 : attempt.size
  return headerCount(record.headers) + attempts + (except?.length ?? 0)
}

export function headerCount(headers: Headers | undefined): number {
  let count = 0
  for (const _name in headers) count += 1
  return count
}

/**
 * The records as one body. Each frame is: length of the head (32 bits, big-endian), the head (JSON in UTF-8), length of the
 * payload (32 bits, big-endian), the payload as it is.
 */
export function encodeBatch(parcels: readonly Outgoing[]): Buffer {
  const heads = parcels.map(headText)
  let size = 0
  for (const [index, parcel] of parcels.entries())
    size += 8 + (heads[index] as string).length * 3 + (parcel.record.payload?.length ?? 0)
  const body = Buffer.allocUnsafe(size)
  let at = 0
  for (const [index, { record }] of parcels.entries()) {
    const headLength = body.write(heads[index] as string, at + 4)
    body.writeUInt32BE(headLength, at)
    at += 4 + headLength
    const payloadLength = record.payload?.length ?? 0
    body.writeUInt32BE(payloadLength, at)
    at += 4
    if (record.payload !== undefined) record.payload.copy(body, at)
    at += payloadLength
  }
  return body.subarray(0, at)
}

/** A {@link FrameHead} as JSON. Written out: an object for each would cost more than all else here. */
function headText({ record, attempt, unanswered, except }: Outgoing): string {
  let text = `{"id":${JSON.stringify(record.id)},"timestamp":${record.timestamp},"resend":${record.resends}`
  if (record.key !== undefined) text += `,"key":${JSON.stringify(record.key)}`
  if (record.headers !== undefined) text += `,"headers":${JSON.stringify(record.headers)}`
  if (attempt !== 1) text += `,"attempt":${JSON.stringify(attemptOf(attempt))}`
  if (unanswered > 0) text += `,"unanswered":${unanswered}`
  if (except !== undefined && except.length > 0) text += `,"except":${JSON.stringify(except)}`
  if (record.payload === undefined) text += ',"tombstone":true'
  return `${text}}`
}

function attemptOf(attempt: AttemptNumbers): FrameHead['attempt'] {
  return typeof attempt === 'number' ? attempt : Object.fromEntries(attempt)
}

/**
 * Takes a body apart, frame by frame. Payloads are views of it. Throws INVALID_ARGUMENT that names the frame in which something is
 * wrong, TOO_LARGE for more frames, headers or groups than the limits, before they are read.
 */
export function* decodeBatch(body: Buffer): Generator<InboundRecord, void, undefined> {
  checkLimit(countFrames(body), MAX_FRAMES, 'the batch has too many frames')
  let index = 0
  let entries = 0
  let at = 0
  const chunk = (): Buffer => {
    if (at + 4 > body.length) throw malformed(index, 'it ends within a length')
    const end = at + 4 + body.readUInt32BE(at)
    if (end > body.length) throw malformed(index, 'it is longer than the body')
    const bytes = body.subarray(at + 4, end)
    at = end
    return bytes
  }
  while (at < body.length) {
    const head = parseHead(chunk(), index)
    entries += countEntries(head, index)
    checkLimit(entries, MAX_BATCH_ENTRIES, 'the batch has too many headers and groups')
    yield toRecord(head, chunk(), index)
    index += 1
  }
  if (index === 0) throw malformed(0, 'there is none')
}

/** Follows the lengths alone, up to one frame more than there may be. Where they are wrong, decoding says so. */
function countFrames(body: Buffer): number {
  let chunks = 0
  for (let at = 0; at + 4 <= body.length && chunks <= 2 * MAX_FRAMES; at += 4 + body.readUInt32BE(at)) chunks += 1
  return Math.ceil(chunks / 2)
}

function countEntries({ headers, except = [], attempt }: FrameHead, index: number): number {
  const ofHeaders = headerCount(headers)
  checkLimit(ofHeaders, MAX_HEADERS, `frame ${index} has too many headers`)
  if (headers !== undefined) checkHeaders(headers, `frame ${index}`)
  checkLimit(except.length, MAX_GROUPS, `frame ${index} has too many groups in 'except'`)
  const attempts = typeof attempt === 'object' ? Object.keys(attempt).length : 0
  checkLimit(attempts, MAX_GROUPS, `frame ${index} has too many groups in 'attempt'`)
  return ofHeaders + except.length + attempts
}

function toRecord(head: FrameHead, payload: Buffer, index: number): InboundRecord {
  const tombstone = head.tombstone === true
  if (tombstone && payload.length > 0) throw malformed(index, 'a tombstone has no payload')
  return {
    id: head.id,
    key: head.key,
    payload: tombstone ? undefined : payload,
    headers: head.headers ?? {},
    timestamp: head.timestamp ?? Date.now(),
    attempt: toAttempts(head.attempt),
    unanswered: head.unanswered ?? 0,
    resend: head.resend,
    except: head.except ?? [],
  }
}

function toAttempts(attempt: FrameHead['attempt']): AttemptNumbers {
  return typeof attempt === 'object' ? new Map(Object.entries(attempt)) : (attempt ?? 1)
}

/** Heads up to this size, in bytes, can't hold so much that parsing them would matter. */
const SMALL_HEAD_BYTES = 4096

/** A head is an object of texts, numbers, and objects and lists of those. */
const MAX_DEPTH = 2

function parseHead(bytes: Buffer, index: number): FrameHead {
  checkLimit(bytes.length, MAX_HEAD_BYTES, `the head of frame ${index} has too many bytes`)
  if (bytes.length > SMALL_HEAD_BYTES) checkStructure(bytes, index)
  let head: unknown
  try {
    head = JSON.parse(bytes.toString())
  } catch {
    throw malformed(index, 'its head is not JSON')
  }
  if (!isObject(head)) throw malformed(index, 'its head is not an object')
  const wrong = wrongField(head)
  if (wrong !== undefined) throw malformed(index, `its '${wrong}' is none that a sender may give`)
  return head as FrameHead
}

/** Counts what a head holds before any of it is made. */
function checkStructure(bytes: Buffer, index: number): void {
  let members = 0
  let depth = 0
  let inText = false
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at]
    if (byte === QUOTE) inText = !inText
    else if (inText) at += byte === BACKSLASH ? 1 : 0
    else if (byte === COMMA) members += 1
    else if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
      depth += 1
      if (depth > MAX_DEPTH) throw malformed(index, 'its head is nested too deeply')
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) depth -= 1
  }
  // Of the head's own fields there are less than 20.
  checkLimit(members, MAX_HEADERS + 2 * MAX_GROUPS + 20, `frame ${index} has too many headers and groups`)
}

const [QUOTE, BACKSLASH, COMMA, OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST] = Buffer.from('"\\,{}[]')

function wrongField(head: { readonly [Field in keyof FrameHead]?: unknown }): keyof FrameHead | undefined {
  const { id, key, timestamp, headers, attempt, except, tombstone } = head
  if (id !== undefined && !isId(id)) return 'id'
  if (key !== undefined && !isKey(key)) return 'key'
  if (timestamp !== undefined && !isTimestamp(timestamp)) return 'timestamp'
  if (headers !== undefined && !(isObject(headers) && Object.values(headers).every(isText))) return 'headers'
  if (attempt !== undefined && !isAttempt(attempt) && !(isObject(attempt) && Object.values(attempt).every(isAttempt)))
    return 'attempt'
  const miscounted = (['resend', 'unanswered'] as const).find(
    (name) => head[name] !== undefined && !isCount(head[name]),
  )
  if (miscounted !== undefined) return miscounted
  if (except !== undefined && !(Array.isArray(except) && except.every(isText))) return 'except'
  if (tombstone !== undefined && tombstone !== true) return 'tombstone'
  return undefined
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isAttempt(value: unknown): boolean {
  return isCount(value) && value !== 0
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function malformed(index: number, reason: string): StreamError {
  return new StreamError(`malformed batch, frame ${index}: ${reason}`, {
    code: 'INVALID_ARGUMENT',
    transport: 'http',
    operation: 'receive',
  })
}
