import { randomBytes } from 'node:crypto'
import { type Codec, serializationError } from '../codec.js'
import { isStreamError, StreamError } from '../errors.js'
import type { ReplyAddress } from './reply-address.js'
import { partHeaders } from './reply-part.js'
import type { ReplySender } from './reply-sender.js'

export interface ResponderSettings {
  readonly address: ReplyAddress
  readonly sender: ReplySender
  readonly codec: Codec
  readonly topic: string
  readonly group: string
  /** The handler start that answers. */
  readonly attempt: number
}

/** Implements `message.respond()` and the end of a handler, for a message with a reply address. */
export interface Answering {
  /** True when the caller may have received something. */
  readonly started: boolean
  respond(value: unknown): Promise<void>
  fail(error: unknown): Promise<void>
}

/** Why a message can't be answered. */
export interface Refusal {
  /**
   * UNSUPPORTED for an address of another system that the transport doesn't support, PERMISSION_DENIED for one to which
   * replies must not be sent.
   */
  readonly code: 'UNSUPPORTED' | 'PERMISSION_DENIED'
  readonly reason: string
}

/** For a message with an unusable reply address. It is handled like any other message, and `respond()` rejects. */
export class Unanswerable implements Answering {
  readonly started = false
  readonly #topic: string
  readonly #refusal: Refusal

  constructor(topic: string, refusal: Refusal) {
    this.#topic = topic
    this.#refusal = refusal
  }

  respond(_value: unknown): Promise<void> {
    const { code, reason } = this.#refusal
    return Promise.reject(new StreamError(reason, { code, retryable: false, topic: this.#topic, operation: 'respond' }))
  }

  async fail(_error: unknown): Promise<void> {}
}

/** Answers one request from one start of its handler: parts, and one end. */
export class Responder implements Answering {
  readonly #settings: ResponderSettings
  readonly #run: string
  #parts = 0
  /** The first part that the transport refused: the reply ends where it is missing. */
  #refused: number | undefined
  #over = false

  constructor(settings: ResponderSettings) {
    this.#settings = settings
    this.#run = `${settings.attempt}-${randomBytes(6).toString('base64url')}`
  }

  /** True when the caller may have received something. */
  get started(): boolean {
    return this.#parts > 0
  }

  /** Sends a part. Resolves when the transport has accepted it. */
  respond(value: unknown): Promise<void> {
    if (this.#over)
      return Promise.reject(this.#error('CONFLICT', 'the reply has ended: its handler has returned already'))
    if (value === undefined)
      return Promise.reject(this.#error('INVALID_ARGUMENT', 'a part of a reply must have a value, got undefined'))
    return this.#send(value, false)
  }

  /**
   * Ends the reply, with a last part if there is one. A part that is TOO_LARGE ends it with that error, and rejects.
   */
  finish(value: unknown): Promise<void> {
    if (this.#over) return Promise.resolve()
    return this.#send(value, true)
  }

  /** Ends the reply with the handler's error. */
  fail(error: unknown): Promise<void> {
    if (this.#over) return Promise.resolve()
    this.#over = true
    return this.#end(error)
  }

  async #send(value: unknown, end: boolean): Promise<void> {
    const payload = value === undefined ? undefined : this.#encode(value)
    if (end) this.#over = true
    this.#parts += 1
    const number = this.#parts
    try {
      await this.#write(number, end, payload)
    } catch (error) {
      this.#refused = Math.min(number, this.#refused ?? number)
      // The caller would consider the reply empty, or wait for the rest of it.
      if (end && isStreamError(error) && error.code === 'TOO_LARGE') await this.#end(error)
      throw error
    }
  }

  #end(error: unknown): Promise<void> {
    this.#parts += 1
    return this.#write(this.#refused ?? this.#parts, true, undefined, error)
  }

  #write(number: number, end: boolean, payload: Buffer | undefined, error?: unknown): Promise<void> {
    const { address, sender, group, codec } = this.#settings
    const part = { from: group, run: this.#run, number, end }
    const contentType = payload === undefined ? undefined : codec.contentType
    return sender.send(address.inbox, { payload, contentType, headers: partHeaders(address.requestId, part, error) })
  }

  #encode(value: unknown): Buffer {
    const { codec, topic } = this.#settings
    try {
      return codec.encode(value)
    } catch (error) {
      throw isStreamError(error) ? error : serializationError('encode', codec.name, topic, error)
    }
  }

  #error(code: 'CONFLICT' | 'INVALID_ARGUMENT', message: string): StreamError {
    return new StreamError(message, { code, topic: this.#settings.topic, operation: 'respond' })
  }
}
