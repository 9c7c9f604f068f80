import { ByteReader } from './byte-reader.js'
import type { FetchedBatch, FetchedRecord } from './kafkajs-internals.js'

type HeaderValue = Buffer | null

/**
 * A record inside a Fetch response. It has the interface of kafkajs's records, but headers, offset and timestamp are
 * read on demand: unused objects and strings were a third of the cost of receiving.
 */
export class ReceivedRecord implements FetchedRecord {
  readonly batchContext: FetchedBatch
  readonly attributes: number
  /** The offset, as a number. */
  readonly position: number
  /** The timestamp, as a number. */
  readonly time: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** Location of the headers: in `source`, from `headersAt` on. */
  readonly source: Buffer
  readonly headersAt: number

  constructor(
    batchContext: FetchedBatch,
    attributes: number,
    position: number,
    time: number,
    key: Buffer | null,
    value: Buffer | null,
    source: Buffer,
    headersAt: number,
  ) {
    this.batchContext = batchContext
    this.attributes = attributes
    this.position = position
    this.time = time
    this.key = key
    this.value = value
    this.source = source
    this.headersAt = headersAt
  }

  get magicByte(): number {
    return this.batchContext.magicByte
  }

  get isControlRecord(): boolean {
    return this.batchContext.isControlBatch
  }

  get offset(): string {
    return String(this.position)
  }

  get timestamp(): string {
    return String(this.time)
  }

  get headers(): Record<string, HeaderValue | HeaderValue[]> {
    const reader = new ByteReader(this.source, this.headersAt)
    // Lists are filled in place: a record may repeat one name as often as it has room for.
    const headers: Record<string, HeaderValue | HeaderValue[]> = {}
    for (let count = reader.varint(); count > 0; count -= 1) {
      const name = reader.text(reader.varint())
      const value = reader.nullableBytes()
      const earlier = Object.hasOwn(headers, name) ? headers[name] : undefined
      if (Array.isArray(earlier)) {
        earlier.push(value)
        continue
      }
      const all = earlier === undefined ? value : [earlier, value]
      if (name === '__proto__')
        Object.defineProperty(headers, name, { value: all, enumerable: true, configurable: true, writable: true })
      else headers[name] = all
    }
    return headers
  }
}

/** Returns the record as kafkajs's own decoder does: for consumers that aren't this adapter's, which may copy it. */
export function plainRecord(record: FetchedRecord): FetchedRecord {
  const { magicByte, attributes, timestamp, offset, key, value, headers, isControlRecord, batchContext } = record
  return { magicByte, attributes, timestamp, offset, key, value, headers, isControlRecord, batchContext }
}
