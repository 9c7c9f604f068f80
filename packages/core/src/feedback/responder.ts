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
  /** Which start of the handler answers. */
  readonly attempt: number
}

/** Answers one request from one start of its handler: parts, and one end. */
export class Responder {
  readonly #settings: ResponderSettings
  readonly #run: string
  #parts = 0
  #over = false

  constructor(settings: ResponderSettings) {
    this.#settings = settings
    this.#run = `${settings.attempt}-${randomBytes(6).toString('base64url')}`
  }

  /** Whether something may have reached the caller. */
  get started(): boolean {
    return this.#parts > 0
  }

  /** Sends a part. Resolves when the transport has taken it. */
  respond(value: unknown): Promise<void> {
    if (this.#over)
      return Promise.reject(this.#error('CONFLICT', 'the reply has ended: its handler has returned already'))
    if (value === undefined)
      return Promise.reject(this.#error('INVALID_ARGUMENT', 'a part of a reply must have a value, got undefined'))
    return this.#send(value, false)
  }

  /** Ends the reply, with a last part where there is one. */
  finish(value: unknown): Promise<void> {
    if (this.#over) return Promise.resolve()
    return this.#send(value, true)
  }

  /** Ends the reply with the handler's error. */
  fail(error: unknown): Promise<void> {
    if (this.#over) return Promise.resolve()
    this.#over = true
    return this.#write(undefined, true, error)
  }

  async #send(value: unknown, end: boolean): Promise<void> {
    const payload = value === undefined ? undefined : this.#encode(value)
    if (end) this.#over = true
    await this.#write(payload, end)
  }

  #write(payload: Buffer | undefined, end: boolean, error?: unknown): Promise<void> {
    const { address, sender, group } = this.#settings
    this.#parts += 1
    const part = { from: group, run: this.#run, number: this.#parts, end }
    return sender.send(address.inbox, payload, partHeaders(address.requestId, part, error))
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
