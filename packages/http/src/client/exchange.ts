import type { IncomingHttpHeaders } from 'node:http'
import { type IncomingReply, StreamError } from '@streamswitch/core/driver'
import type { Dispatcher } from 'undici'
import { PartReader, REPLY_TYPE } from '../wire/reply-parts.js'

/** Most bytes of a response that are looked at, where it isn't a reply, and of one line of it. */
const MAX_RESPONSE_BYTES = 1024 * 1024

export interface ExchangeEvents {
  /** One line of a response of type x-ndjson, as it comes. */
  line(line: unknown): void
  /** A part of a response that is a reply, as it comes. */
  readonly part?: ((part: Omit<IncomingReply, 'timestamp'>) => void) | undefined
  /** Largest response that is a reply as a whole, in bytes. */
  readonly maxReplyBytes: number
  /** The response is complete. `body` is its parsed JSON, where it was JSON; of a request that asks for a reply, the bytes of a success. */
  end(status: number, headers: IncomingHttpHeaders, body: unknown): void
  /** The connection failed, or the response broke off. */
  error(error: unknown): void
}

/** One request and its response. Every event comes at most once, `line` apart; after `end` or `error` nothing comes. */
export class Exchange implements Dispatcher.DispatchHandler {
  /** When something was heard last, by `performance.now()`. */
  heardAt = performance.now()
  readonly #events: ExchangeEvents
  #controller: Dispatcher.DispatchController | undefined
  #abortedBy: Error | undefined
  #over = false
  #status = 0
  #headers: IncomingHttpHeaders = {}
  #kind: 'lines' | 'json' | 'parts' | 'bytes' | 'other' = 'other'
  #parts: PartReader | undefined
  #chunks: Buffer[] = []
  #bytes = 0

  constructor(events: ExchangeEvents) {
    this.#events = events
  }

  /** Ends the exchange: `error` is told at once, the connection is dropped. */
  abort(reason: Error): void {
    if (this.#over) return
    this.#abortedBy = reason
    this.#controller?.abort(reason)
    this.#fail(reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#abortedBy !== undefined) controller.abort(this.#abortedBy)
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return
    this.#status = status
    this.#headers = headers
    const type = String(headers['content-type'] ?? '')
    if (this.#events.part !== undefined && status < 300) this.#startReply(type)
    else if (type.startsWith('application/x-ndjson')) this.#kind = 'lines'
    else if (/^application\/(?:[a-z.-]+\+)?json\b/.test(type)) this.#kind = 'json'
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.heardAt = performance.now()
    if (this.#over || this.#kind === 'other') return
    if (this.#parts !== undefined) return this.#readParts(this.#parts, controller, chunk)
    const end = this.#kind === 'lines' ? chunk.lastIndexOf(10) : -1
    if (end >= 0) {
      const text = Buffer.concat([...this.#chunks, chunk.subarray(0, end)]).toString()
      this.#chunks = []
      this.#bytes = 0
      for (const line of text.split('\n')) this.#line(line)
    }
    const rest = chunk.subarray(end + 1)
    this.#bytes += rest.length
    const limit = this.#kind === 'bytes' ? this.#events.maxReplyBytes : MAX_RESPONSE_BYTES
    if (this.#bytes <= limit) {
      if (rest.length > 0) this.#chunks.push(rest)
      return
    }
    const error =
      this.#kind === 'bytes'
        ? tooLarge(limit)
        : new Error(`the response has a part of more than ${MAX_RESPONSE_BYTES} bytes`)
    controller.abort(error)
    this.#fail(error)
  }

  onResponseEnd(): void {
    if (this.#over) return
    const rest = Buffer.concat(this.#chunks).toString()
    if (this.#parts?.complete === false) return this.#fail(new Error('the response ended before the reply did'))
    if (this.#kind === 'lines') this.#line(rest)
    if (this.#over) return
    this.#over = true
    const body = this.#kind === 'json' ? parse(rest) : this.#kind === 'bytes' ? Buffer.concat(this.#chunks) : undefined
    this.#events.end(this.#status, this.#headers, body)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(error)
  }

  #startReply(type: string): void {
    this.#kind = type.startsWith(REPLY_TYPE) ? 'parts' : 'bytes'
    if (this.#kind === 'parts') this.#parts = new PartReader(type, (part) => this.#events.part?.(part))
  }

  #readParts(reader: PartReader, controller: Dispatcher.DispatchController, chunk: Buffer): void {
    try {
      reader.push(chunk)
    } catch (error) {
      controller.abort(error as Error)
      this.#fail(error)
    }
  }

  #line(text: string): void {
    if (text === '' || this.#over) return
    const line = parse(text)
    if (line !== undefined) this.#events.line(line)
  }

  #fail(error: unknown): void {
    if (this.#over) return
    this.#over = true
    this.#events.error(error)
  }
}

function tooLarge(limit: number): StreamError {
  return new StreamError(`the reply has more than ${limit} bytes (maxPayloadBytes)`, {
    code: 'TOO_LARGE',
    retryable: false,
    transport: 'http',
    operation: 'request',
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
