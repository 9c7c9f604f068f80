import { type StreamError, toStreamError } from '../errors.js'
import type { PendingRecord, RecordOwner } from './pending-record.js'
import type { SendOptions } from './producer-options.js'
import type { RecordEncoder } from './record-encoder.js'

/** Encodes values in the order of the sends, also when a schema validates one of them asynchronously. */
export class EncodingQueue {
  readonly #encoder: RecordEncoder
  readonly #transport: string
  readonly #topic: string
  /** Set while a schema validates asynchronously: later values queue behind it. */
  #turn: Promise<void> | undefined

  constructor(encoder: RecordEncoder, transport: string, topic: string) {
    this.#encoder = encoder
    this.#transport = transport
    this.#topic = topic
  }

  /** Settles once everything given so far is encoded. */
  get drained(): Promise<void> | undefined {
    return this.#turn
  }

  /** Calls `submit` with the record, or `reject`: synchronously unless a schema is asynchronous. */
  encode(
    value: unknown,
    options: SendOptions | undefined,
    owner: RecordOwner,
    submit: (record: PendingRecord) => void,
    reject: (error: StreamError) => void,
    replyTo?: string,
  ): void {
    if (this.#turn !== undefined)
      return this.#queue(() => this.#encoder.encode(value, options, owner, replyTo), submit, reject)
    try {
      const record = this.#encoder.encode(value, options, owner, replyTo)
      if (record instanceof Promise) this.#queue(() => record, submit, reject)
      else submit(record)
    } catch (error) {
      reject(this.#classify(error))
    }
  }

  #queue(
    encode: () => PendingRecord | Promise<PendingRecord>,
    submit: (record: PendingRecord) => void,
    reject: (error: StreamError) => void,
  ): void {
    const turn: Promise<void> = (this.#turn ?? Promise.resolve())
      .then(encode)
      .then(submit, (error: unknown) => reject(this.#classify(error)))
      .then(() => {
        if (this.#turn === turn) this.#turn = undefined
      })
    this.#turn = turn
  }

  #classify(error: unknown): StreamError {
    const context = { transport: this.#transport, topic: this.#topic, operation: 'send' }
    return toStreamError(error, { code: 'INVALID_ARGUMENT', ...context })
  }
}
