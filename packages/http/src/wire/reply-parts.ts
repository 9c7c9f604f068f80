import { randomBytes } from 'node:crypto'
import type { Headers, IncomingReply } from '@streamswitch/core/driver'
import { REPLY_HEADERS, StreamError, WIRE_HEADERS } from '@streamswitch/core/driver'

/** Media type of a response that is a reply: RFC 2046, section 5.1, with a Content-Length in each part. */
export const REPLY_TYPE = 'multipart/mixed'

/** Longest head, and largest part, that is taken. */
const MAX_HEAD_BYTES = 64 * 1024
const MAX_PART_BYTES = 1024 * 1024 * 1024
const HEAD_END = '\r\n\r\n'

/** The records of one reply as a body of parts. */
export class PartWriter {
  readonly contentType: string
  readonly #delimiter: string
  #first = true

  constructor() {
    const boundary = `reply-${randomBytes(12).toString('hex')}`
    this.contentType = `${REPLY_TYPE}; boundary=${boundary}`
    this.#delimiter = `--${boundary}`
  }

  /** One record. Values of headers are percent-encoded where they must be. */
  part(headers: Headers, payload: Buffer | undefined): Buffer {
    const lines = [this.#open()]
    for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${encodeURIComponent(value)}`)
    if (payload === undefined) lines.push(`${WIRE_HEADERS.tombstone}: 1`)
    lines.push(`content-length: ${payload?.length ?? 0}`)
    const head = Buffer.from(`${lines.join('\r\n')}${HEAD_END}`)
    return payload === undefined ? head : Buffer.concat([head, payload])
  }

  end(): Buffer {
    return Buffer.from(`${this.#open()}--\r\n`)
  }

  #open(): string {
    const begin = this.#first ? '' : '\r\n'
    this.#first = false
    return `${begin}${this.#delimiter}`
  }
}

/** Takes such a body apart as it comes. */
export class PartReader {
  readonly #take: (reply: Omit<IncomingReply, 'timestamp'>) => void
  readonly #delimiter: string
  #bytes: Buffer = Buffer.alloc(0)
  /** The final delimiter was there: the reply is complete. */
  complete = false

  constructor(contentType: string, take: (reply: Omit<IncomingReply, 'timestamp'>) => void) {
    this.#take = take
    this.#delimiter = `--${/boundary="?([^";]+)"?/i.exec(contentType)?.[1] ?? ''}`
  }

  /** Throws INVALID_ARGUMENT for what is no reply. */
  push(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    while (!this.complete && this.#next());
  }

  #next(): boolean {
    const at = this.#bytes.indexOf(this.#delimiter)
    if (at < 0 || this.#bytes.length < at + this.#delimiter.length + 2) return false
    const start = at + this.#delimiter.length
    if (this.#bytes.toString('latin1', start, start + 2) === '--') {
      this.complete = true
      return false
    }
    const end = this.#bytes.indexOf(HEAD_END, start)
    if (end < 0) {
      if (this.#bytes.length > start + MAX_HEAD_BYTES) throw malformed('the head of a part is too long')
      return false
    }
    const headers = readHead(this.#bytes.toString('latin1', start + 2, end))
    const length = Number(headers['content-length'])
    if (!Number.isSafeInteger(length) || length < 0 || length > MAX_PART_BYTES)
      throw malformed('a part has no fitting content-length')
    const from = end + HEAD_END.length
    if (this.#bytes.length < from + length) return false
    const { [WIRE_HEADERS.tombstone]: none, 'content-length': _length, ...rest } = headers
    const payload = none === undefined ? Buffer.from(this.#bytes.subarray(from, from + length)) : undefined
    this.#bytes = this.#bytes.subarray(from + length)
    this.#take({ headers: rest, payload })
    return true
  }
}

function readHead(text: string): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon < 1) continue
    const name = line.slice(0, colon).trim().toLowerCase()
    const value = line.slice(colon + 1).trim()
    if (name.startsWith('streamswitch-') || name === 'content-length') headers[name] = decode(value)
  }
  return headers
}

function decode(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    throw malformed('the head of a part is malformed')
  }
}

function malformed(detail: string): StreamError {
  return new StreamError(`the response is no reply: ${detail}`, {
    code: 'INVALID_ARGUMENT',
    transport: 'http',
    operation: 'request',
  })
}

/** Headers of a record that ends a reply. */
export function endHeaders(last: Headers | undefined, requestId: string, error?: StreamError): Headers {
  const part = Number(last?.[REPLY_HEADERS.part] ?? 0) + 1
  return {
    [REPLY_HEADERS.version]: '1',
    [REPLY_HEADERS.requestId]: requestId,
    [REPLY_HEADERS.from]: last?.[REPLY_HEADERS.from] ?? '',
    [REPLY_HEADERS.run]: last?.[REPLY_HEADERS.run] ?? '',
    [REPLY_HEADERS.part]: String(part),
    [REPLY_HEADERS.end]: '1',
    ...(error === undefined ? {} : { [REPLY_HEADERS.error]: error.message, [REPLY_HEADERS.errorCode]: error.code }),
  }
}
