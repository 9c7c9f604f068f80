import type { IncomingHttpHeaders } from 'node:http'
import {
  arrivedId,
  type DeliveryFields,
  type Headers,
  type OutgoingRecord,
  RESERVED_PREFIX,
  StreamError,
  WIRE_HEADERS,
} from '@streamswitch/core/driver'
import type { ForeignHeaders } from './wire/foreign-headers.js'
import { belongsToHttp, HTTP_HEADERS, travelsPlain } from './wire/header-names.js'
import {
  checkHeaders,
  checkLimit,
  countParts,
  isId,
  isKey,
  isTimestamp,
  MAX_GROUPS,
  MAX_HEADERS,
} from './wire/limits.js'
import { receivedText } from './wire/received-text.js'

/** Which handler start a sending would be: one number, or per group where one request is for several. */
export type AttemptNumbers = number | ReadonlyMap<string, number>

/** One record in flight to one subscriber. */
export interface Outgoing {
  readonly record: OutgoingRecord
  readonly attempt: AttemptNumbers
  /** Earlier sendings that ended without an answer. */
  readonly unanswered: number
  /** Groups that need it no more. */
  readonly except: readonly string[] | undefined
}

/** One record as it arrived. */
export interface InboundRecord {
  readonly id: string | undefined
  readonly key: string | undefined
  readonly payload: Buffer | undefined
  readonly headers: Headers
  readonly timestamp: number
  readonly attempt: AttemptNumbers
  readonly unanswered: number
  /** undefined` if the sender doesn't count. */
  readonly resend: number | undefined
  readonly except: readonly string[]
  /** Tells senders apart by what they have proved; `undefined` for all who have proved nothing. */
  readonly sender?: string | undefined
}

/** Headers of the plain, single-message form, as name and value in turn. */
export function toRequestHeaders(
  { record, attempt, unanswered, except }: Outgoing,
  contentType: string | undefined,
): string[] {
  const id = encodeURIComponent(record.id)
  const headers = [
    HTTP_HEADERS.id,
    id,
    HTTP_HEADERS.idempotencyKey,
    id,
    HTTP_HEADERS.timestamp,
    String(record.timestamp),
  ]
  if (record.key !== undefined) headers.push(HTTP_HEADERS.key, encodeURIComponent(record.key))
  headers.push(HTTP_HEADERS.resend, String(record.resends))
  if (attempt !== 1) headers.push(HTTP_HEADERS.attempt, formatAttempts(attempt))
  if (unanswered > 0) headers.push(HTTP_HEADERS.unanswered, String(unanswered))
  if (except !== undefined && except.length > 0) headers.push(HTTP_HEADERS.except, except.join(','))
  if (record.payload === undefined) headers.push(HTTP_HEADERS.tombstone, '1')
  else if (contentType !== undefined) headers.push('content-type', ownContentType(record) ?? contentType)
  pushUserHeaders(headers, record.headers)
  return headers
}

function pushUserHeaders(headers: string[], given: Headers | undefined): void {
  const plain: string[] = []
  const encoded: string[] = []
  for (const name of given === undefined ? [] : Object.keys(given)) {
    const value = given?.[name] ?? ''
    if (travelsPlain(name, value)) {
      plain.push(name)
      headers.push(name, value)
    } else encoded.push(`${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
  }
  // Always there, so that the receiver knows which headers are the user's, and which were added on the way.
  headers.push(HTTP_HEADERS.plain, plain.join(','))
  if (encoded.length > 0) headers.push(HTTP_HEADERS.encoded, encoded.join('&'))
}

function ownContentType(record: OutgoingRecord): string | undefined {
  const value = record.headers?.['content-type']
  if (value === undefined || !/^[!-~](?:[ -~]*[!-~])?$/.test(value)) return undefined
  // A batch is recognised by its content type: a message must not pass for one.
  return value.toLowerCase().includes('streamswitch') ? undefined : value
}

/** Query parameters of a GET: the members of a JSON object. Throws INVALID_ARGUMENT for any other payload. */
export function toQuery(record: OutgoingRecord): URLSearchParams {
  const query = new URLSearchParams()
  if (record.payload === undefined) return query
  let value: unknown
  try {
    value = JSON.parse(record.payload.toString())
  } catch {
    value = undefined
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new StreamError(
      "method 'GET' sends the members of a JSON object as query parameters: the value must be one",
      { code: 'INVALID_ARGUMENT', transport: 'http', operation: 'send' },
    )
  }
  for (const [name, member] of Object.entries(value))
    query.append(name, typeof member === 'string' ? member : JSON.stringify(member))
  return query
}

/**
 * A plain request as a record. What Streamswitch's own headers say must obey the rules of sending; what others say is brought within
 * them. Throws INVALID_ARGUMENT where a reserved header is malformed, TOO_LARGE for too many headers or groups.
 */
export function fromRequest(headers: IncomingHttpHeaders, body: Buffer, foreign: ForeignHeaders): InboundRecord {
  const tombstone = text(headers, HTTP_HEADERS.tombstone) !== undefined && body.length === 0
  const ownId = text(headers, HTTP_HEADERS.id)
  const key = text(headers, HTTP_HEADERS.key)
  return {
    id: ownId === undefined ? arrivedId(text(headers, HTTP_HEADERS.idempotencyKey)) : checkedId(ownId),
    key: key === undefined ? undefined : checkedKey(key),
    payload: tombstone ? undefined : body,
    headers: userHeaders(headers, foreign),
    timestamp: readTimestamp(headers),
    attempt: parseAttempts(text(headers, HTTP_HEADERS.attempt)),
    unanswered: readInteger(headers, HTTP_HEADERS.unanswered) ?? 0,
    resend: readInteger(headers, HTTP_HEADERS.resend),
    except: splitList(text(headers, HTTP_HEADERS.except), MAX_GROUPS, 'groups', HTTP_HEADERS.except),
  }
}

function checkedId(encoded: string): string {
  const id = decode(encoded, HTTP_HEADERS.id)
  if (!isId(id)) throw malformed(HTTP_HEADERS.id)
  return id
}

function checkedKey(encoded: string): string {
  const key = decode(encoded, HTTP_HEADERS.key)
  if (!isKey(key)) throw malformed(HTTP_HEADERS.key)
  return key
}

/** What core needs of a record that arrived, for one group. */
export function toDeliveryFields(
  record: InboundRecord,
  group: string,
  position: string,
  native: unknown,
): DeliveryFields {
  const replyTo = record.headers[WIRE_HEADERS.replyTo]
  return {
    id: record.id,
    key: record.key,
    payload: record.payload,
    headers: replyTo === undefined ? record.headers : withoutReplyTo(record.headers),
    timestamp: record.timestamp,
    position,
    replyTo,
    native,
    priorAttempts: attemptFor(record.attempt, group) - 1,
    unanswered: record.unanswered,
  }
}

function withoutReplyTo({ [WIRE_HEADERS.replyTo]: _replyTo, ...headers }: Headers): Headers {
  return headers
}

export function attemptFor(attempt: AttemptNumbers, group: string): number {
  return typeof attempt === 'number' ? attempt : (attempt.get(group) ?? 1)
}

function userHeaders(all: IncomingHttpHeaders, foreign: ForeignHeaders): Headers {
  const list = text(all, HTTP_HEADERS.plain)
  const headers: Record<string, string> = {}
  const names =
    list === undefined
      ? foreignNames(all, foreign)
      : // Senders of ours encode those that proxies could add or replace.
        splitList(list, MAX_HEADERS, 'headers', HTTP_HEADERS.plain).filter((name) => !belongsToHttp(name))
  for (const name of names) {
    const value = text(all, name)
    if (value !== undefined) setHeader(headers, name, value)
  }
  for (const pair of splitParts(
    text(all, HTTP_HEADERS.encoded) ?? '',
    '&',
    MAX_HEADERS,
    'headers',
    HTTP_HEADERS.encoded,
  )) {
    const [name = '', value = ''] = pair.split('=')
    if (name !== '') setHeader(headers, decode(name, HTTP_HEADERS.encoded), decode(value, HTTP_HEADERS.encoded))
  }
  if (list !== undefined) checkHeaders(headers, 'the request')
  return headers
}

function foreignNames(all: IncomingHttpHeaders, foreign: ForeignHeaders): string[] {
  // What `Connection` names is for the next one in the chain only (RFC 9110, section 7.6.1).
  const ofConnection = new Set((text(all, 'connection') ?? '').toLowerCase().split(/[\s,]+/))
  return Object.keys(all).filter(
    (name) => !name.startsWith(RESERVED_PREFIX) && !ofConnection.has(name) && foreign.takes(name),
  )
}

/** Sets a property of any name: `__proto__` must be one like any other. */
function setHeader(headers: Record<string, string>, name: string, value: string): void {
  if (name !== '__proto__') headers[name] = value
  else Object.defineProperty(headers, name, { value, enumerable: true, configurable: true, writable: true })
}

function formatAttempts(attempt: AttemptNumbers): string {
  return typeof attempt === 'number'
    ? String(attempt)
    : [...attempt].map(([group, number]) => `${group}=${number}`).join(',')
}

function parseAttempts(value: string | undefined): AttemptNumbers {
  if (value === undefined) return 1
  if (/^\d{1,9}$/.test(value)) return Math.max(1, Number(value))
  const attempts = new Map<string, number>()
  for (const part of splitList(value, MAX_GROUPS, 'groups', HTTP_HEADERS.attempt)) {
    const [group = '', number = ''] = part.split('=')
    if (!/^[1-9]\d{0,8}$/.test(number)) throw malformed(HTTP_HEADERS.attempt)
    attempts.set(group, Number(number))
  }
  return attempts
}

function splitList(value: string | undefined, limit: number, what: string, name: string): string[] {
  return value === undefined ? [] : splitParts(value, ',', limit, what, name).map((part) => part.trim())
}

/** Counts before it takes apart. */
function splitParts(value: string, separator: string, limit: number, what: string, name: string): string[] {
  checkLimit(countParts(value, separator), limit, `the request header '${name}' names too many ${what}`)
  return value === '' ? [] : value.split(separator)
}

function readTimestamp(headers: IncomingHttpHeaders): number {
  const value = text(headers, HTTP_HEADERS.timestamp)
  if (value === undefined) return Date.now()
  if (!/^\d{1,16}$/.test(value) || !isTimestamp(Number(value))) throw malformed(HTTP_HEADERS.timestamp)
  return Number(value)
}

function readInteger(headers: IncomingHttpHeaders, name: string): number | undefined {
  const value = text(headers, name)
  if (value === undefined) return undefined
  if (!/^\d{1,15}$/.test(value)) throw malformed(name)
  return Number(value)
}

function decode(value: string, name: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    throw malformed(name)
  }
}

function malformed(name: string): StreamError {
  return new StreamError(`the request header '${name}' is malformed`, {
    code: 'INVALID_ARGUMENT',
    transport: 'http',
    operation: 'receive',
  })
}

function text(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = Object.hasOwn(headers, name) ? headers[name] : undefined
  if (value === undefined) return undefined
  return receivedText(Array.isArray(value) ? value.join(', ') : value)
}
