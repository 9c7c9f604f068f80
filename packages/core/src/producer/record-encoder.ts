import { randomBytes } from 'node:crypto'
import { type Codec, findCodec, serializationError } from '../codec.js'
import { isStreamError } from '../errors.js'
import { type Schema, validate } from '../schema.js'
import { WIRE_HEADERS } from '../wire/reserved-headers.js'
import { PendingRecord, type RecordOwner } from './pending-record.js'
import type { ProducerOptionValues, SendOptions } from './producer-options.js'
import { checkSendOptions, recordSize } from './send-options.js'

const NO_OPTIONS: SendOptions = {}

/** Makes records from values: validation, encoding, ids. */
export class RecordEncoder {
  readonly #topic: string
  readonly #codec: Codec
  readonly #schema: Schema | undefined
  /** Ids are this and a counter: as unique as random ones, at a fraction of their cost. */
  readonly #idPrefix = randomBytes(12).toString('base64url')
  #count = 0

  constructor(topic: string, options: Pick<ProducerOptionValues, 'codec' | 'schema'>) {
    this.#topic = topic
    this.#codec = findCodec(options.codec)
    this.#schema = options.schema
  }

  /**
   * Encodes a value: at once, or as a promise where the schema validates asynchronously. Throws or rejects with SERIALIZATION
   * or INVALID_ARGUMENT.
   *
   * @param replyTo - of a request: where the reply goes.
   */
  encode(
    value: unknown,
    options: SendOptions = NO_OPTIONS,
    owner: RecordOwner,
    replyTo?: string,
  ): PendingRecord | Promise<PendingRecord> {
    if (options !== NO_OPTIONS) checkSendOptions(options, this.#topic)
    if (this.#schema === undefined || value === undefined) return this.#record(value, options, owner, replyTo)
    const checked = validate(this.#schema, value, this.#topic, 'encode')
    if (checked instanceof Promise) return checked.then((settled) => this.#record(settled, options, owner, replyTo))
    return this.#record(checked, options, owner, replyTo)
  }

  #record(value: unknown, options: SendOptions, owner: RecordOwner, replyTo: string | undefined): PendingRecord {
    const payload = value === undefined ? undefined : this.#bytes(value)
    const { key } = options
    const headers = replyTo === undefined ? options.headers : { ...options.headers, [WIRE_HEADERS.replyTo]: replyTo }
    return new PendingRecord(
      {
        id: options.id ?? this.#nextId(),
        key,
        payload,
        headers,
        timestamp: options.timestamp ?? Date.now(),
        partition: options.partition,
        sequence: options.sequence,
      },
      recordSize(payload, key, headers),
      owner,
    )
  }

  #bytes(value: unknown): Buffer {
    try {
      return this.#codec.encode(value)
    } catch (error) {
      throw isStreamError(error) ? error : serializationError('encode', this.#codec.name, this.#topic, error)
    }
  }

  #nextId(): string {
    this.#count += 1
    return `${this.#idPrefix}-${this.#count.toString(36)}`
  }
}
