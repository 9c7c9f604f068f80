import { randomBytes } from 'node:crypto'
import { type Codec, findCodec, serializationError } from '../codec.js'
import type { AdapterDefinition } from '../contract/adapter.js'
import { isStreamError } from '../errors.js'
import { type Schema, validate } from '../schema.js'
import { WIRE_HEADERS } from '../wire/reserved-headers.js'
import {
  extraBytesOf,
  leftOutHeaders,
  mayDifferFromBytes,
  notCarriedHeader,
  notCarriedOf,
  originalFor,
  PASSED_ON,
  type PassedOn,
} from './passed-on.js'
import { PendingRecord, type RecordOwner } from './pending-record.js'
import type { ProducerOptionValues, SendOptions } from './producer-options.js'
import { checkSendOptions, recordSize } from './send-options.js'

/** Options of a send, or of one that forwards a received message. */
export interface InternalSendOptions extends SendOptions {
  /** The received message that is forwarded, or only its key. */
  readonly [PASSED_ON]?: PassedOn
}

const NO_OPTIONS: InternalSendOptions = {}

/** Creates records from values: validation, encoding, ids. */
export class RecordEncoder {
  readonly #topic: string
  readonly #codec: Codec
  readonly #schema: Schema | undefined
  readonly #adapter: AdapterDefinition
  /** Ids are this and a counter: as unique as random ones, at a fraction of their cost. */
  readonly #idPrefix = randomBytes(12).toString('base64url')
  #count = 0

  constructor(topic: string, options: Pick<ProducerOptionValues, 'codec' | 'schema'>, adapter: AdapterDefinition) {
    this.#adapter = adapter
    this.#topic = topic
    this.#codec = findCodec(options.codec)
    this.#schema = options.schema
  }

  /**
   * Encodes a value: synchronously, or as a promise when the schema validates asynchronously. Throws or rejects with
   * SERIALIZATION or INVALID_ARGUMENT.
   *
   * @param replyTo - reply address of a request.
   */
  encode(
    value: unknown,
    options: InternalSendOptions = NO_OPTIONS,
    owner: RecordOwner,
    replyTo?: string,
  ): PendingRecord | Promise<PendingRecord> {
    if (options !== NO_OPTIONS) checkSendOptions(options, this.#topic)
    const passedOn = options[PASSED_ON]
    if (passedOn !== undefined) {
      // A middleware may have replaced the value: the new one is encoded like any other.
      if (passedOn.part === 'message' && value === passedOn.message.value) return this.#passOn(passedOn, options, owner)
    }
    if (this.#schema === undefined || value === undefined) return this.#record(value, options, owner, replyTo)
    const checked = validate(this.#schema, value, this.#topic, 'encode')
    if (checked instanceof Promise) return checked.then((settled) => this.#record(settled, options, owner, replyTo))
    return this.#record(checked, options, owner, replyTo)
  }

  #record(
    value: unknown,
    options: InternalSendOptions,
    owner: RecordOwner,
    replyTo: string | undefined,
  ): PendingRecord {
    const payload = value === undefined ? undefined : this.#bytes(value)
    const { key } = options
    const passedOn = options[PASSED_ON]
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
        // The key's bytes stay even if a middleware has replaced the value.
        original:
          key !== undefined && key === passedOn?.message.key && mayDifferFromBytes(key)
            ? originalFor(this.#adapter, { message: passedOn.message, part: 'key' })
            : undefined,
      },
      recordSize(payload, key, headers),
      owner,
    )
  }

  /** The message's own payload, which isn't validated. */
  #passOn(passedOn: PassedOn, options: InternalSendOptions, owner: RecordOwner): PendingRecord {
    const { message } = passedOn
    const payload = message.bytes
    const { key } = options
    const original = key === message.key ? originalFor(this.#adapter, passedOn) : undefined
    const leftOut = original === undefined ? leftOutHeaders(message) : undefined
    const lost = [...notCarriedOf(message, original !== undefined), ...(leftOut === undefined ? [] : [leftOut])]
    const headers = { ...options.headers, ...notCarriedHeader(lost) }
    return new PendingRecord(
      {
        id: options.id ?? message.id,
        key,
        payload,
        headers: Object.keys(headers).length === 0 ? undefined : headers,
        timestamp: options.timestamp ?? message.timestamp,
        partition: options.partition,
        sequence: options.sequence,
        original,
      },
      recordSize(payload, key, headers) + (original === undefined ? 0 : extraBytesOf(passedOn)),
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
