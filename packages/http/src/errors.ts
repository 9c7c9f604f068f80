import type { IncomingHttpHeaders } from 'node:http'
import { type ErrorCode, StreamError, systemErrorMeaning, toStreamError } from '@streamswitch/core/driver'

interface Entry {
  readonly code: ErrorCode
  readonly retryable: boolean
  /** Meaning, and what to do. */
  readonly hint: string
  /** The request can't have reached the other side. */
  readonly unsent?: true
}

const NOT_TRUSTED = "the server's certificate is not trusted: set tlsCaFile to the authority that signed it"

/** Errors of sockets, TLS, undici and the listening side, by their `code`. */
export const NATIVE_ERRORS: Readonly<Record<string, Entry>> = {
  ECONNREFUSED: { code: 'UNAVAILABLE', retryable: true, hint: 'nothing listens at the address', unsent: true },
  ENOTFOUND: { code: 'UNAVAILABLE', retryable: true, hint: "the host name can't be resolved", unsent: true },
  EAI_AGAIN: {
    code: 'UNAVAILABLE',
    retryable: true,
    hint: "the host name can't be resolved at the moment",
    unsent: true,
  },
  EHOSTUNREACH: { code: 'UNAVAILABLE', retryable: true, hint: 'there is no route to the host', unsent: true },
  ENETUNREACH: { code: 'UNAVAILABLE', retryable: true, hint: 'there is no route to the network', unsent: true },
  UND_ERR_CONNECT_TIMEOUT: {
    code: 'UNAVAILABLE',
    retryable: true,
    hint: 'no connection within connectionTimeoutMs',
    unsent: true,
  },
  ECONNRESET: { code: 'UNAVAILABLE', retryable: true, hint: 'the other side reset the connection' },
  ECONNABORTED: { code: 'UNAVAILABLE', retryable: true, hint: 'the connection was cut' },
  EPIPE: { code: 'UNAVAILABLE', retryable: true, hint: 'the other side reset the connection' },
  ETIMEDOUT: { code: 'UNAVAILABLE', retryable: true, hint: 'the connection is dead' },
  UND_ERR_SOCKET: {
    code: 'UNAVAILABLE',
    retryable: true,
    hint: 'the other side closed the connection before it answered',
  },
  UND_ERR_HEADERS_TIMEOUT: { code: 'TIMEOUT', retryable: true, hint: 'no response in time' },
  UND_ERR_BODY_TIMEOUT: { code: 'TIMEOUT', retryable: true, hint: 'the response stopped' },
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: { code: 'UNAVAILABLE', retryable: true, hint: 'the response is incomplete' },
  UND_ERR_HEADERS_OVERFLOW: { code: 'UNAVAILABLE', retryable: true, hint: "the response's headers are too large" },
  UND_ERR_DESTROYED: { code: 'CLOSED', retryable: false, hint: 'the transport is closed' },
  UND_ERR_CLOSED: { code: 'CLOSED', retryable: false, hint: 'the transport is closed' },
  UND_ERR_ABORTED: { code: 'ABORTED', retryable: false, hint: 'the request was given up' },
  UND_ERR_INVALID_ARG: { code: 'INVALID_ARGUMENT', retryable: false, hint: "this can't be sent over HTTP" },
  ABORT_ERR: { code: 'ABORTED', retryable: false, hint: 'it was given up' },
  DEPTH_ZERO_SELF_SIGNED_CERT: { code: 'UNAUTHENTICATED', retryable: false, hint: NOT_TRUSTED },
  SELF_SIGNED_CERT_IN_CHAIN: { code: 'UNAUTHENTICATED', retryable: false, hint: NOT_TRUSTED },
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: { code: 'UNAUTHENTICATED', retryable: false, hint: NOT_TRUSTED },
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: { code: 'UNAUTHENTICATED', retryable: false, hint: NOT_TRUSTED },
  CERT_HAS_EXPIRED: {
    code: 'UNAUTHENTICATED',
    retryable: false,
    hint: 'the certificate of the other side has expired',
  },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    code: 'UNAUTHENTICATED',
    retryable: false,
    hint: 'the certificate is for another host: use its name in the URL, or set tlsServerName',
  },
  ERR_SSL_WRONG_VERSION_NUMBER: {
    code: 'INVALID_ARGUMENT',
    retryable: false,
    hint: "the other side doesn't use TLS: use http://",
  },
  EPROTO: { code: 'INVALID_ARGUMENT', retryable: false, hint: "the two sides can't agree on TLS" },
  EADDRINUSE: {
    code: 'CONFLICT',
    retryable: true,
    hint: 'the address to listen on is already in use: set listen (HTTP_LISTEN) to another one',
  },
  EADDRNOTAVAIL: {
    code: 'INVALID_ARGUMENT',
    retryable: false,
    hint: 'the address to listen on is not an address of this machine: set listen (HTTP_LISTEN)',
  },
  EACCES: {
    code: 'PERMISSION_DENIED',
    retryable: false,
    hint: 'this process may not listen on this address: use a port from 1024 up',
  },
}

/** The adapter's table of native errors. */
export function classifyError(native: unknown, operation: string, topic?: string): StreamError {
  const entry = entryOf(native)
  if (entry === undefined) return toStreamError(native, { code: 'UNKNOWN', transport: 'http', operation, topic })
  const { code, retryable, hint } = entry
  return new StreamError(`${hint} (${describe(native)})`, {
    code,
    retryable,
    transport: 'http',
    operation,
    topic,
    cause: native,
  })
}

/**
 * True when the request can't have reached the other side, so that another replica may receive it without a duplicate.
 */
export function wasUnsent(native: unknown): boolean {
  return entryOf(native)?.unsent === true
}

const STATUS_CODES: Readonly<Record<number, readonly [code: ErrorCode, retryable: boolean]>> = {
  400: ['INVALID_ARGUMENT', false],
  401: ['UNAUTHENTICATED', false],
  403: ['PERMISSION_DENIED', false],
  404: ['NOT_FOUND', true],
  405: ['INVALID_ARGUMENT', false],
  407: ['UNAUTHENTICATED', false],
  408: ['TIMEOUT', true],
  409: ['CONFLICT', false],
  410: ['NOT_FOUND', false],
  413: ['TOO_LARGE', false],
  415: ['UNSUPPORTED', false],
  422: ['INVALID_ARGUMENT', false],
  423: ['UNAVAILABLE', true],
  424: ['ABORTED', true],
  425: ['UNAVAILABLE', true],
  429: ['RESOURCE_EXHAUSTED', true],
  431: ['TOO_LARGE', false],
  500: ['UNKNOWN', true],
  501: ['UNSUPPORTED', false],
  502: ['UNAVAILABLE', true],
  503: ['UNAVAILABLE', true],
  504: ['TIMEOUT', true],
}

/** Returns the meaning of a status without a problem of ours: by class if it isn't listed. */
export function codeOfStatus(status: number): { readonly code: ErrorCode; readonly retryable: boolean } {
  const [code, retryable] = STATUS_CODES[status] ?? (status >= 500 ? ['UNKNOWN', true] : ['INVALID_ARGUMENT', false])
  return { code, retryable }
}

/** Maximum wait that another side can request, in milliseconds: a day, so that no timer overflows. */
export const MAX_RETRY_AFTER_MS = 24 * 60 * 60 * 1000

/** The only date format that senders may write: RFC 9110, section 5.6.7. */
const IMF_DATE =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d{2}:\d{2}:\d{2} GMT$/

/**
 * Retry-After (RFC 9110, section 10.2.3), a number of seconds or a date, in milliseconds from now. A date is relative
 * to the response's (its `Date` header), if there is one: the clocks of the two sides may differ. Anything else is
 * ignored.
 */
export function readRetryAfter(headers: IncomingHttpHeaders, now: number = Date.now()): number | undefined {
  const value = headerText(headers, 'retry-after')
  if (value === undefined) return undefined
  if (/^\d{1,100}$/.test(value)) return Math.min(Number(value) * 1000, MAX_RETRY_AFTER_MS)
  const date = readDate(value)
  if (date === undefined) return undefined
  const sentAt = readDate(headerText(headers, 'date')) ?? now
  return Math.min(Math.max(0, date - sentAt), MAX_RETRY_AFTER_MS)
}

function readDate(value: string | undefined): number | undefined {
  if (value === undefined || !IMF_DATE.test(value)) return undefined
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : date
}

function headerText(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value: unknown = headers[name]
  const first: unknown = Array.isArray(value) ? value[0] : value
  return typeof first === 'string' ? first.trim() : undefined
}

function entryOf(native: unknown): Entry | undefined {
  if (native instanceof Error && native.name === 'AbortError') return NATIVE_ERRORS.ABORT_ERR
  const code = typeof native === 'object' && native !== null && 'code' in native ? native.code : undefined
  if (typeof code !== 'string') return undefined
  if (code.startsWith('HPE_'))
    return { code: 'UNAVAILABLE', retryable: true, hint: "the other side's response is not HTTP/1.1" }
  return Object.hasOwn(NATIVE_ERRORS, code) ? NATIVE_ERRORS[code] : systemEntry(code)
}

/** Core's meaning of codes that have no entry here: TLS alerts, and exhausted system resources. */
function systemEntry(code: string): Entry | undefined {
  const meaning = systemErrorMeaning(code)
  if (meaning?.advice === undefined) return undefined
  const exhausted = meaning.code === 'RESOURCE_EXHAUSTED'
  return {
    code: meaning.code,
    retryable: meaning.retryable ?? exhausted,
    hint: meaning.advice,
    ...(exhausted ? { unsent: true } : {}),
  }
}

function describe(native: unknown): string {
  const { code, message } = native as { readonly code?: string; readonly message?: string }
  // Connecting to a name with several addresses fails with an AggregateError, whose own message is empty.
  return message === undefined || message === '' ? String(code) : message
}

/** A producer's `endpoint` that isn't a URL. */
export function invalidEndpoint(topic: string): StreamError {
  return new StreamError('http.endpoint must be an http:// or https:// URL without credentials', {
    code: 'INVALID_ARGUMENT',
    transport: 'http',
    operation: 'open',
    topic,
  })
}

/** A route without a group: sending on it would drop messages silently. */
export function routeWithoutGroup(topic: string): StreamError {
  return new StreamError(
    `the route of topic '${topic}' has no group: add one to routes (HTTP_ROUTES), or remove the topic`,
    { code: 'NOT_FOUND', retryable: false, transport: 'http', operation: 'open', topic },
  )
}
