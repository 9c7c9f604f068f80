import type { Unreadable } from './batch-reader.js'
import { extentOf, type FetchExtent } from './fetch-response.js'
import type { FetchedMessages, FetchedRecord } from './kafkajs-internals.js'
import { ReceivedRecord } from './received-record.js'

/**
 * Corrects kafkajs's handling of a fetched partition:
 * - its position follows records, so that it never gets past a batch that compaction has emptied, and advances through
 *   a gap behind the last record by one offset per fetch. Batches say where they end.
 * - a record whose key is four zero bytes (an integer 0) counts as the end of an aborted transaction: what follows in
 *   that transaction is delivered. Only control records end one.
 */
export function correctBatch(batch: FetchedMessages): void {
  const extent = extentOf(batch.rawMessages)
  if (extent === undefined) return
  if (extent.abortedTransactions.length > 0) batch.messages = committedRecords(batch, extent)
  const { nextOffset } = extent
  if (nextOffset === undefined) return
  batch.lastOffset = () => String(nextOffset - 1)
  batch.isEmptyDueToFiltering = () => batch.messages.length === 0
}

/** The offset behind what was fetched: everything below is in `messages`, or not for consumers. */
export function fetchedBelow(batch: FetchedMessages): number {
  const extent = extentOf(batch.rawMessages)
  if (extent?.nextOffset !== undefined) return extent.nextOffset
  return batch.rawMessages.length > 0 ? Number(batch.lastOffset()) + 1 : Number(batch.fetchedOffset)
}

/**
 * Offset up to which the broker is known to have nothing to read: beyond {@link fetchedBelow} in a log that compaction
 * has emptied at its end.
 */
export function nothingBelow(batch: FetchedMessages): number {
  const extent = extentOf(batch.rawMessages)
  return extent?.exhausted === true ? extent.lastStableOffset : 0
}

/** What can't be read behind these messages. */
export function unreadableIn(batch: FetchedMessages): Unreadable | undefined {
  return extentOf(batch.rawMessages)?.unreadable
}

/** Makes kafkajs continue at an offset behind a batch that has no messages. */
export function goOnAt(batch: FetchedMessages, offset: number): void {
  batch.lastOffset = () => String(offset - 1)
  batch.isEmptyDueToFiltering = () => offset > Number(batch.fetchedOffset)
}

/** The first two bytes of a control record's key are its version, the next two its type. */
const ABORT = 0

function committedRecords({ rawMessages, fetchedOffset }: FetchedMessages, extent: FetchExtent): FetchedRecord[] {
  const first = Number(fetchedOffset)
  const aborted = extent.abortedTransactions
    .map(({ producerId, firstOffset }) => ({ producerId, firstOffset: Number(firstOffset) }))
    .sort((left, right) => left.firstOffset - right.firstOffset)
  const open = new Set<string>()
  return rawMessages.filter((record) => {
    const offset = record instanceof ReceivedRecord ? record.position : Number(record.offset)
    while (aborted[0] !== undefined && aborted[0].firstOffset <= offset) {
      open.add(aborted[0].producerId)
      aborted.shift()
    }
    const { producerId, inTransaction } = record.batchContext
    if (record.isControlRecord) {
      if (record.key !== null && record.key.length >= 4 && record.key.readInt16BE(2) === ABORT) open.delete(producerId)
      return false
    }
    return offset >= first && !(inTransaction && open.has(producerId))
  })
}
