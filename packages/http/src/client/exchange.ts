import type { IncomingHttpHeaders } from 'node:http'
import { type IncomingReply, printable, StreamError } from '@streamswitch/core/driver'
import type { Dispatcher } from 'undici'
import { ACCEPTED_ENCODINGS, encodingsOf } from '../wire/content-encoding.js'
import { PartReader, REPLY_TYPE } from '../wire/reply-parts.js'
import { ResponseDecoding } from './response-decoding.js'

/** Maximum number of bytes read of a response, if it isn't a reply, and of one line of it. */
const MAX_RESPONSE_BYTES = 1024 * 1024

/** Maximum length of a refusal's reason, in bytes. */
const MAX_TEXT_BYTES = 2_000

export interface ExchangeEvents {
  /** One line of a response of type x-ndjson, as it comes. */
  line(line: unknown): void
  /** A part of a response that is a reply, as it comes. */
  readonly part?: ((part: Omit<IncomingReply, 'timestamp'>) => void) | undefined
  /** Maximum size of a response that is a whole reply, in bytes. */
  readonly maxReplyBytes: number
  /** The status alone says that it was accepted: what the body of a success is doesn't matter. */
  readonly ignoresSuccess: boolean
  /** The response is complete. `body` is its parsed JSON, where it was JSON, or the beginning of its plain text; of a request that asks for a reply, the bytes of a success. */
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
  #kind: 'lines' | 'json' | 'parts' | 'bytes' | 'text' | 'other' = 'other'
  #decoding: ResponseDecoding | undefined
  #parts: PartReader | undefined
  #chunks: Buffer[] = []
  #bytes = 0

  constructor(events: ExchangeEvents) {
    this.#events = events
  }

  /** Ends the exchange: `error` is reported immediately, the connection is dropped. */
  abort(reason: Error): void {
    if (this.#over) return
    this.#abortedBy = reason
    this.#fail(reason)
    this.#controller?.abort(reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#abortedBy !== undefined) controller.abort(this.#abortedBy)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return
    this.#status = status
    this.#headers = headers
    this.heardAt = performance.now()
    const type = String(headers['content-type'] ?? '')
    if (this.#isAccepted) return
    if (this.#events.part !== undefined && status < 300) this.#startReply(type)
    else if (type.startsWith('application/x-ndjson')) this.#kind = 'lines'
    else if (/^application\/(?:[a-z.-]+\+)?json\b/.test(type)) this.#kind = 'json'
    else if (type.startsWith('text/plain') && status >= 400) this.#kind = 'text'
    if (this.#kind !== 'other') this.#startDecoding(controller, String(headers['content-encoding'] ?? ''))
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // What follows an acceptance blocks it for no longer than silence would.
    if (!this.#isAccepted) this.heardAt = performance.now()
    if (this.#over || (this.#kind === 'other' && !this.#isAccepted)) return
    if (this.#decoding !== undefined) this.#decoding.write(chunk)
    else this.#data(controller, chunk)
  }

  onResponseEnd(): void {
    if (this.#over) return
    if (this.#decoding !== undefined) this.#decoding.end()
    else this.#end()
  }

  #data(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return
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
      if (rest.length > 0 && this.#kind !== 'other') this.#chunks.push(rest)
      return
    }
    if (this.#isAccepted || this.#kind === 'json' || this.#kind === 'text') return this.#endEarly(controller)
    const error =
      this.#kind === 'bytes'
        ? tooLarge(limit)
        : new Error(`the response has a part of more than ${MAX_RESPONSE_BYTES} bytes`)
    controller.abort(error)
    this.#fail(error)
  }

  /** The status says enough, and the rest of the body is too large to be read. */
  #endEarly(controller: Dispatcher.DispatchController): void {
    if (this.#kind === 'json') this.#kind = 'other'
    this.#end()
    controller.abort(new Error('the response is no longer needed'))
  }

  #end(): void {
    if (this.#over) return
    const bytes = Buffer.concat(this.#chunks)
    if (this.#parts?.complete === false) return this.#fail(new Error('the response ended before the reply did'))
    if (this.#kind === 'lines') this.#line(bytes.toString())
    if (this.#over) return
    this.#over = true
    this.#events.end(this.#status, this.#headers, this.#bodyOf(bytes))
  }

  #bodyOf(bytes: Buffer): unknown {
    if (this.#kind === 'json') return parse(bytes.toString())
    if (this.#kind === 'text') return bytes.toString('utf8', 0, MAX_TEXT_BYTES)
    return this.#kind === 'bytes' ? bytes : undefined
  }

  /** A success whose body says nothing more. */
  get #isAccepted(): boolean {
    return this.#events.ignoresSuccess && this.#status >= 200 && this.#status < 300
  }

  #startDecoding(controller: Dispatcher.DispatchController, header: string): void {
    const encodings = encodingsOf(header)
    if (encodings?.length === 0) return
    if (encodings === undefined) {
      if (this.#status >= 300) this.#kind = 'other'
      else this.#refuse(controller, unknownEncoding(header))
      return
    }
    this.#decoding = new ResponseDecoding(encodings, controller, {
      data: (chunk) => this.#data(controller, chunk),
      end: () => this.#end(),
      error: (error) => {
        // A refusal is one, whatever its body is.
        if (this.#status < 300) return this.#refuse(controller, error)
        this.#kind = 'other'
        this.#end()
      },
    })
  }

  #refuse(controller: Dispatcher.DispatchController, error: StreamError): void {
    controller.abort(error)
    this.#fail(error)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(error)
  }

  #startReply(type: string): void {
    this.#kind = type.startsWith(REPLY_TYPE) ? 'parts' : 'bytes'
    if (this.#kind === 'parts') this.#parts = this.#partReader(type)
  }

  #partReader(type: string): PartReader {
    const { maxReplyBytes } = this.#events
    return new PartReader(type, { maxPartBytes: maxReplyBytes, take: (part) => this.#events.part?.(part) })
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
    // The connection broke within a body that doesn't matter.
    if (this.#isAccepted) return this.#end()
    this.#over = true
    this.#decoding?.stop()
    this.#events.error(error)
  }
}

function unknownEncoding(header: string): StreamError {
  return new StreamError(
    `the reply has the content coding '${printable(header.slice(0, 100))}': supported are ${ACCEPTED_ENCODINGS}`,
    { code: 'UNSUPPORTED', retryable: false, transport: 'http', operation: 'request' },
  )
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
    return JSON.parse(text.startsWith('\ufeff') ? text.slice(1) : text)
  } catch {
    return undefined
  }
}
