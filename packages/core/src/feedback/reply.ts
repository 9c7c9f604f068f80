import { type Codec, serializationError } from '../codec.js'
import { Deque } from '../deque.js'
import { type ErrorCode, isStreamError, StreamError } from '../errors.js'
import { type Schema, validate } from '../schema.js'
import { abortError } from '../session.js'
import { PART_BYTES, PartOrder } from './part-order.js'
import type { ReplyPart } from './reply-part.js'

/**
 * How much later than its request's send a reply times out, in milliseconds: the send's error says what went wrong.
 */
const AFTER_SENDING_MS = 25

/** Maximum number of bytes of a reply that wait to be read, or for earlier parts. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024

export interface ReplySettings {
  readonly topic: string
  readonly transport: string
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
  readonly codec: Codec
  readonly schema: Schema | undefined
  /** Called once, when nothing more is accepted. */
  readonly over: () => void
}

interface Reader {
  readonly resolve: () => void
}

/**
 * The reply to one request: no part, one, or many. Created by `producer.request`.
 * Reading it rejects with TIMEOUT when the request's time is over, with the handler's own code and message when the
 * handler has failed, with ABORTED when the handler was killed and started again after parts had been read, by
 * `signal`, or after `close`; with CLOSED when the producer or its transport is closed; with SERIALIZATION for a part
 * that can't be decoded, RESOURCE_EXHAUSTED when more than 64 MiB wait to be read (plus 256 bytes for each part) or a
 * part is 1,000 ahead of a missing one, and with the error of sending the request. Once it has rejected, every further
 * read rejects.
 */
export class Reply<Part = unknown> implements AsyncIterable<Part>, AsyncDisposable {
  readonly #settings: ReplySettings
  readonly #order = new PartOrder(this)
  readonly #parts = new Deque<Buffer>()
  readonly #readers = new Deque<Reader>()
  readonly #timer: NodeJS.Timeout
  readonly #abort: (() => void) | undefined
  #bytes = 0
  #ended = false
  #error: StreamError | undefined
  /** @internal Number of parts that the caller has received. */
  taken = 0

  /** Use `producer.request`, which returns one. */
  constructor(settings: ReplySettings) {
    this.#settings = settings
    this.#timer = setTimeout(() => this.#expire(), settings.timeoutMs + AFTER_SENDING_MS)
    const { signal } = settings
    if (signal === undefined) return
    this.#abort = () => this.end(abortError(signal))
    if (signal.aborted) queueMicrotask(this.#abort)
    else signal.addEventListener('abort', this.#abort, { once: true })
  }

  /** Returns the next part, or `undefined` at the end. Calls may overlap: each gets a different part, in order. */
  async read(): Promise<Part | undefined> {
    while (this.#parts.length === 0) {
      if (this.#error !== undefined) throw this.#error
      if (this.#ended) return undefined
      await new Promise<void>((resolve) => this.#readers.push({ resolve }))
    }
    const bytes = this.#parts.shift() as Buffer
    this.#bytes -= bytes.length + PART_BYTES
    this.taken += 1
    try {
      return (await this.#decode(bytes)) as Part
    } catch (error) {
      const failure = isStreamError(error)
        ? error
        : serializationError('decode', this.#settings.codec.name, this.#settings.topic, error)
      this.#error = failure
      this.#parts.clear()
      this.end(failure)
      throw failure
    }
  }

  /** Iterates over the parts. Leaving the loop early abandons the reply, as `close` does. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Part, void, undefined> {
    try {
      for (let part = await this.read(); part !== undefined; part = await this.read()) yield part
    } finally {
      this.close()
    }
  }

  /**
   * Abandons the reply: later parts are dropped, and reading rejects with ABORTED unless the reply had ended. The
   * handler continues.
   */
  close(): void {
    this.#parts.clear()
    this.#bytes = 0
    if (this.#ended) return
    this.end(this.#failure('ABORTED', 'the reply was closed before its end'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** @internal */
  take(part: ReplyPart): void {
    if (this.#ended) return
    this.#order.add(part)
    if (this.#bytes + this.#order.aheadBytes > MAX_WAITING_BYTES)
      this.end(this.#failure('RESOURCE_EXHAUSTED', `more than ${MAX_WAITING_BYTES} bytes of the reply wait to be read`))
  }

  /** @internal */
  part(payload: Buffer): void {
    this.#parts.push(payload)
    this.#bytes += payload.length + PART_BYTES
    this.#readers.shift()?.resolve()
  }

  /** @internal */
  discard(): void {
    this.#parts.clear()
    this.#bytes = 0
  }

  /** @internal Nothing more will arrive. Waiting parts are still read before the error. */
  end(error: StreamError | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.#order.clear()
    clearTimeout(this.#timer)
    if (this.#abort !== undefined) this.#settings.signal?.removeEventListener('abort', this.#abort)
    for (let reader = this.#readers.shift(); reader !== undefined; reader = this.#readers.shift()) reader.resolve()
    this.#settings.over()
  }

  #expire(): void {
    this.end(this.#failure('TIMEOUT', `no end of the reply within ${this.#settings.timeoutMs} ms (timeoutMs)`))
  }

  #decode(bytes: Buffer): unknown {
    const { codec, schema, topic } = this.#settings
    const value = codec.decode(bytes)
    return schema === undefined ? value : validate(schema, value, topic, 'decode')
  }

  #failure(code: ErrorCode, message: string): StreamError {
    const { transport, topic } = this.#settings
    return new StreamError(`request to ${topic} on ${transport}: ${message}`, {
      code,
      transport,
      topic,
      operation: 'request',
    })
  }
}
