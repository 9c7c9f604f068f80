import { randomBytes } from 'node:crypto'
import type { Headers, IncomingReply } from '@streamswitch/core/driver'
import { REPLY_HEADERS, StreamError, WIRE_HEADERS } from '@streamswitch/core/driver'

/** Media type of a response that is a reply: RFC 2046, section 5.1, with a Content-Length in each part. */
export const REPLY_TYPE = 'multipart/mixed'

/** Maximum head of a part; also what may precede the first part, and follow the last. */
const MAX_HEAD_BYTES = 64 * 1024
const HEAD_END = '\r\n\r\n'
/** How many bytes are searched at a time for the end of a head: what follows is not copied again for each head. */
const STEP_BYTES = 1024
const FIRST_BYTES = 4 * 1024

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

interface PartReaderSettings {
  /** Maximum part, in bytes. */
  readonly maxPartBytes: number
  readonly take: (reply: Omit<IncomingReply, 'timestamp'>) => void
}

/** A part whose head was read. */
interface OpenPart {
  readonly headers: Headers
  readonly isTombstone: boolean
  readonly length: number
}

/**
 * Takes such a body apart as it comes. Every byte is copied a few times at most, however small the pieces are that it comes in, and no more memory is taken
 * than twice what has come of the part at hand.
 */
export class PartReader {
  readonly #settings: PartReaderSettings
  readonly #delimiter: string
  /** What has come of the delimiter and head, or of the payload, at hand. */
  readonly #bytes = new GrowingBytes()
  /** The delimiter was there: a head is coming, or the end. */
  #isInHead = false
  #part: OpenPart | undefined
  #behind = 0
  /** The final delimiter was there: the reply is complete. */
  complete = false

  constructor(contentType: string, settings: PartReaderSettings) {
    this.#settings = settings
    this.#delimiter = `--${/boundary="?([^";]+)"?/i.exec(contentType)?.[1] ?? ''}`
  }

  /** Throws INVALID_ARGUMENT for what is no reply, TOO_LARGE for a part that is larger than it may be. */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && !this.complete)
      at += this.#part === undefined ? this.#pushHead(chunk, at) : this.#pushPayload(this.#part, chunk, at)
    this.#behind += chunk.length - at
    if (this.#behind > MAX_HEAD_BYTES) throw malformed('too much follows the last part')
  }

  /** Returns how many bytes were taken. */
  #pushHead(chunk: Buffer, at: number): number {
    const step = chunk.subarray(at, at + STEP_BYTES)
    this.#bytes.push(step)
    const end = this.#hasBegun() ? this.#endOfHead() : undefined
    if (end === undefined) {
      if (this.#bytes.length > MAX_HEAD_BYTES) throw malformed('the head of a part is too long')
      return step.length
    }
    // What follows is of this step: the end of the head was not there before.
    const behind = this.#bytes.length - end
    const head = this.#bytes.text(2, Math.max(2, end - HEAD_END.length))
    this.#bytes.clear()
    this.#isInHead = false
    if (!this.complete) this.#begin(head)
    return step.length - behind
  }

  /** Whether the delimiter has come. */
  #hasBegun(): boolean {
    if (this.#isInHead) return true
    const end = this.#bytes.endOf(this.#delimiter)
    if (end === undefined) return false
    this.#bytes.drop(end)
    this.#isInHead = true
    return true
  }

  /** Where the head ends, as far as it has come. Behind the last part there is none. */
  #endOfHead(): number | undefined {
    this.complete = this.#bytes.length >= 2 && this.#bytes.text(0, 2) === '--'
    return this.complete ? 2 : this.#bytes.endOf(HEAD_END)
  }

  #begin(head: string): void {
    const { [WIRE_HEADERS.tombstone]: none, 'content-length': given, ...headers } = readHead(head)
    const length = given !== undefined && /^\d{1,15}$/.test(given) ? Number(given) : Number.NaN
    const { maxPartBytes } = this.#settings
    if (Number.isNaN(length)) throw malformed('a part has no fitting content-length')
    if (length > maxPartBytes) throw tooLarge(maxPartBytes)
    this.#part = { headers, isTombstone: none !== undefined, length }
    if (length === 0) this.#end(this.#part)
  }

  #pushPayload(part: OpenPart, chunk: Buffer, at: number): number {
    const piece = chunk.subarray(at, at + part.length - this.#bytes.length)
    this.#bytes.push(piece, part.length)
    if (this.#bytes.length === part.length) this.#end(part)
    return piece.length
  }

  #end({ headers, isTombstone }: OpenPart): void {
    this.#part = undefined
    const payload = this.#bytes.takeAll()
    this.#settings.take({ headers, payload: isTombstone ? undefined : payload })
  }
}

/** Bytes that come in pieces. The room for them doubles when it is used up, so that all copying together is in proportion to what has come. */
class GrowingBytes {
  #room: Buffer = Buffer.alloc(0)
  #start = 0
  #end = 0
  /** Up to here nothing was found. */
  #searched = 0

  get length(): number {
    return this.#end - this.#start
  }

  /** @param most - more won't come. */
  push(piece: Buffer, most = Number.POSITIVE_INFINITY): void {
    if (this.#end + piece.length > this.#room.length) {
      const needed = this.length + piece.length
      const room = Buffer.allocUnsafeSlow(Math.min(Math.max(FIRST_BYTES, 2 * needed), Math.max(needed, most)))
      this.#room.copy(room, 0, this.#start, this.#end)
      this.#searched -= this.#start
      this.#end -= this.#start
      this.#start = 0
      this.#room = room
    }
    piece.copy(this.#room, this.#end)
    this.#end += piece.length
  }

  /** Where the first such text ends, from the beginning; `undefined` where there is none. What was searched before isn't searched again. */
  endOf(text: string): number | undefined {
    const found = this.#room.subarray(0, this.#end).indexOf(text, Math.max(this.#start, this.#searched), 'latin1')
    if (found >= 0) return found + text.length - this.#start
    this.#searched = Math.max(this.#start, this.#end - text.length + 1)
    return undefined
  }

  text(from: number, to: number): string {
    return this.#room.toString('latin1', this.#start + from, this.#start + to)
  }

  drop(bytes: number): void {
    this.#start += bytes
    this.#searched = this.#start
  }

  clear(): void {
    this.#start = 0
    this.#end = 0
    this.#searched = 0
  }

  /** Everything; none of it stays here. Copied only where it would keep much more memory than it has bytes. */
  takeAll(): Buffer {
    const all = this.#room.subarray(this.#start, this.#end)
    this.clear()
    if (2 * all.length < this.#room.length) return Buffer.from(all)
    this.#room = Buffer.alloc(0)
    return all
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
  return new StreamError(`the response is not a reply: ${detail}`, {
    code: 'INVALID_ARGUMENT',
    transport: 'http',
    operation: 'request',
  })
}

function tooLarge(limit: number): StreamError {
  return new StreamError(`a part of the reply has more than ${limit} bytes (maxPayloadBytes)`, {
    code: 'TOO_LARGE',
    retryable: false,
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
