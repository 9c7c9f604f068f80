import type { IncomingReply } from '../contract/replies.js'
import { ERROR_CODES, type ErrorCode, isStreamError, messageOf, StreamError } from '../errors.js'
import type { Headers } from '../message.js'
import { REPLY_HEADERS } from '../wire/reserved-headers.js'

const VERSION = '1'
const MAX_ERROR_CHARACTERS = 1_000
/** Maximum length of the name of a group or handler start, in characters. */
const MAX_NAME_CHARACTERS = 256

/** One record of a reply: a part, an end, or both. */
export interface ReplyPart {
  /** Group that answers; empty for a foreign answer. */
  readonly from: string
  readonly run: string
  readonly number: number
  /** Payload of the part; `undefined`: an end without one. */
  readonly payload: Buffer | undefined
  readonly end: boolean
  readonly error: StreamError | undefined
}

/** Headers of a part. */
export function partHeaders(requestId: string, part: Omit<ReplyPart, 'payload' | 'error'>, error?: unknown): Headers {
  const headers: Record<string, string> = {
    [REPLY_HEADERS.version]: VERSION,
    [REPLY_HEADERS.requestId]: requestId,
    [REPLY_HEADERS.from]: part.from,
    [REPLY_HEADERS.run]: part.run,
    [REPLY_HEADERS.part]: String(part.number),
  }
  if (part.end) headers[REPLY_HEADERS.end] = '1'
  if (error === undefined) return headers
  const text = messageOf(error)
  headers[REPLY_HEADERS.error] = text.slice(0, MAX_ERROR_CHARACTERS).toWellFormed()
  headers[REPLY_HEADERS.errorCode] = isStreamError(error) ? error.code : 'UNKNOWN'
  return headers
}

/** Returns the request that a record answers; `undefined` when it names none. */
export function answeredRequest(reply: IncomingReply): string | undefined {
  return reply.headers[REPLY_HEADERS.requestId] ?? reply.requestId
}

/**
 * Parses a record. One without a version, of a foreign responder, is a whole reply, and a failure if it has an error
 * header. Throws UNSUPPORTED for a newer format.
 */
export function readPart(reply: IncomingReply): ReplyPart {
  const { headers, payload } = reply
  const version = headers[REPLY_HEADERS.version]
  const error = readError(headers)
  // A foreign responder can only omit the payload by an empty one.
  const part = error !== undefined && payload?.length === 0 ? undefined : payload
  if (version === undefined) return { from: '', run: '', number: 1, payload: part, end: true, error }
  if (version !== VERSION)
    throw new StreamError(`the reply has format ${version}, but this process supports ${VERSION}: update it`, {
      code: 'UNSUPPORTED',
      operation: 'request',
    })
  const number = Number(headers[REPLY_HEADERS.part])
  return {
    from: nameIn(headers, REPLY_HEADERS.from),
    run: nameIn(headers, REPLY_HEADERS.run),
    number: Number.isSafeInteger(number) ? number : 0,
    payload: part,
    end: headers[REPLY_HEADERS.end] === '1',
    error,
  }
}

/** Throws SERIALIZATION for a value that no responder of ours sends: names are kept in memory. */
function nameIn(headers: Headers, header: string): string {
  const name = headers[header] ?? ''
  if (name.length <= MAX_NAME_CHARACTERS) return name
  throw new StreamError(`the reply's header '${header}' has more than ${MAX_NAME_CHARACTERS} characters`, {
    code: 'SERIALIZATION',
    retryable: false,
    operation: 'request',
  })
}

function readError(headers: Headers): StreamError | undefined {
  const message = headers[REPLY_HEADERS.error]
  if (message === undefined) return undefined
  const code = headers[REPLY_HEADERS.errorCode] as ErrorCode | undefined
  // The handler has used its attempts: whether to ask again is the caller's decision.
  return new StreamError(message.slice(0, MAX_ERROR_CHARACTERS), {
    code: code !== undefined && ERROR_CODES.includes(code) ? code : 'UNKNOWN',
    retryable: false,
    operation: 'request',
  })
}
