import { Deque, type OutgoingRecord, type PublishBatch } from '@streamswitch/core/driver'
import { ServerError } from './client-patches/server-error.js'
import type { PublishError } from './client-patches/server-frames.js'
import type { StreamPublisherHandle } from './client-patches/stream-client.js'
import { recordNotEncodable, recordTooLarge } from './errors.js'
import {
  cutSubEntries,
  encodePublish,
  encodeSubEntries,
  type FrameSettings,
  type PublishedSpan,
} from './publish-frame.js'
import type { PublisherIds } from './publisher-ids.js'
import { maxEncodedBytes } from './record-encoding.js'

/** In place of an id that is settled. */
const SETTLED = -1n

export interface PublisherSettings {
  readonly topic: string
  readonly partition: number
  readonly subEntrySize: number
  readonly compression: 'none' | 'gzip'
  readonly filterOf: ((record: OutgoingRecord) => string | undefined) | undefined
}

/** A batch on its way, and what its ids stand for. Confirms nearly always come in order. */
interface InFlight {
  readonly batch: PublishBatch
  readonly ids: bigint[]
  /** Set with sub-entries: the positions in `indexes` that each id stands for. Else id `n` stands for record `indexes[n]`. */
  readonly spans: readonly PublishedSpan[] | undefined
  readonly indexes: number[]
  /** Ids before this one are settled. */
  cursor: number
  readonly done: () => void
}

/** Publishes to the stream of one partition, and hands each record its confirm. */
export class PartitionPublisher {
  readonly handle: StreamPublisherHandle
  readonly #settings: PublisherSettings
  readonly #frame: FrameSettings
  readonly #ids: PublisherIds
  readonly #inFlight = new Deque<InFlight>()

  constructor(handle: StreamPublisherHandle, ids: PublisherIds, settings: PublisherSettings) {
    this.handle = handle
    this.#ids = ids
    this.#settings = settings
    this.#frame = {
      publisherId: handle.publisherId,
      frameMaxBytes: handle.connection.frameMax,
      filterOf: settings.filterOf,
    }
  }

  /** Writes the batch at once; resolves when each of its records has been reported. */
  publish(batch: PublishBatch): Promise<void> {
    return new Promise((resolve) => {
      const flight =
        this.#settings.subEntrySize > 1 ? this.#writeSubEntries(batch, resolve) : this.#write(batch, resolve)
      if (flight.ids.length === 0) resolve()
      else this.#inFlight.push(flight)
    })
  }

  #write(batch: PublishBatch, done: () => void): InFlight {
    const ids: bigint[] = []
    const indexes: number[] = []
    const sendable = this.#numbered(batch, ids, indexes)
    const { frames, unsent } = encodePublish(sendable, this.#frame, (index) => ids[index] as bigint)
    const { topic } = this.#settings
    for (const { index, cause } of unsent.toReversed()) {
      const error = cause === undefined ? recordTooLarge(topic) : recordNotEncodable(topic, cause)
      batch.fail(indexes[index] as number, error)
      ids.splice(index, 1)
      indexes.splice(index, 1)
    }
    if (frames.length > 0) this.handle.connection.write(frames)
    return { batch, ids, indexes, spans: undefined, cursor: 0, done }
  }

  /** Numbers the records; those that can't be sent under any id fail now. */
  #numbered(batch: PublishBatch, ids: bigint[], indexes: number[]): readonly OutgoingRecord[] {
    const sendable: OutgoingRecord[] = []
    for (const [index, record] of batch.records.entries()) {
      try {
        ids.push(this.#ids.idOf(record))
      } catch (error) {
        batch.fail(index, error)
        continue
      }
      indexes.push(index)
      sendable.push(record)
    }
    return sendable
  }

  #writeSubEntries(batch: PublishBatch, done: () => void): InFlight {
    const { subEntrySize, compression, topic } = this.#settings
    const spans: PublishedSpan[] = []
    const indexes: number[] = []
    const encodable: OutgoingRecord[] = []
    for (const [index, record] of batch.records.entries()) {
      try {
        maxEncodedBytes(record)
      } catch (cause) {
        batch.fail(index, recordNotEncodable(topic, cause))
        continue
      }
      indexes.push(index)
      encodable.push(record)
    }
    for (const cut of cutSubEntries(encodable, subEntrySize, this.#frame.frameMaxBytes)) {
      const first = encodable[cut.from] as OutgoingRecord
      const span = { ...cut, id: this.#ids.idOf(first) }
      const frame = encodeSubEntries(encodable, span, this.#frame, compression)
      if (frame === undefined) {
        for (let at = cut.from; at < cut.to; at += 1) batch.fail(indexes[at] as number, recordTooLarge(topic))
        continue
      }
      spans.push(span)
      this.handle.connection.write(frame)
    }
    return { batch, ids: spans.map(({ id }) => id), indexes, spans, cursor: 0, done }
  }

  /** The broker has stored these. */
  confirmed(ids: readonly bigint[]): void {
    for (const id of ids) if (this.#settle(id, undefined)) this.#ids.confirmed(id)
  }

  /** The broker has refused these. */
  refused(errors: readonly PublishError[]): void {
    for (const { publishingId, code } of errors) this.#settle(publishingId, new ServerError(code, 'publishing'))
  }

  #settle(id: bigint, error: ServerError | undefined): boolean {
    // In order nearly always, so that the first batch has it: no iterator for each id.
    const head = this.#inFlight.peek()
    if (head !== undefined && head.ids[head.cursor] === id) return this.#report(head, head.cursor, error)
    for (const flight of this.#inFlight) {
      const position = flight.ids.indexOf(id, flight.cursor)
      if (position >= 0) return this.#report(flight, position, error)
    }
    return false
  }

  #report(flight: InFlight, position: number, error: ServerError | undefined): true {
    const span = flight.spans?.[position]
    const from = span?.from ?? position
    const to = span?.to ?? from + 1
    for (let at = from; at < to; at += 1) this.#tell(flight.batch, flight.indexes[at] as number, error)
    // An id that was settled out of order must not be found again.
    flight.ids[position] = SETTLED
    while (flight.cursor < flight.ids.length && flight.ids[flight.cursor] === SETTLED) flight.cursor += 1
    for (let head = this.#inFlight.peek(); head !== undefined && isSettled(head); head = this.#inFlight.peek()) {
      this.#inFlight.shift()
      head.done()
    }
    return true
  }

  #tell(batch: PublishBatch, index: number, error: ServerError | undefined): void {
    if (error === undefined) return batch.accept(index, this.#settings.partition)
    this.#ids.refused(batch.records[index] as OutgoingRecord)
    batch.fail(index, error)
  }
}

function isSettled(flight: InFlight): boolean {
  return flight.cursor === flight.ids.length
}
