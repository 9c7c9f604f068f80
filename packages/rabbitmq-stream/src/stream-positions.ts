import type { OutOfRange, RemovedRange, StartPosition } from '@streamswitch/core/driver'
import { MetadataRequest } from 'rabbitmq-stream-js-client/dist/requests/metadata_request.js'
import { StreamStatsRequest } from 'rabbitmq-stream-js-client/dist/requests/stream_stats_request.js'
import type { StreamStatsResponse } from 'rabbitmq-stream-js-client/dist/responses/stream_stats_response.js'
import { Chunk } from './chunk.js'
import { Offset, type StreamClient } from './client-patches/stream-client.js'
import { failure } from './errors.js'

/** Beyond this many offsets a lag is taken as their difference, stored positions included. */
const EXACT_LAG = 5_000
/** Questions that may be answered between a credit and its chunk. */
const PATIENCE = 200
/** Chunks that are asked for at once where messages are counted. */
const COUNTED_CHUNKS = 50

/** The first and the next offset of a stream, and when its last chunk of messages was stored: `undefined` where it holds the broker's own records at most. */
export interface StreamRange {
  readonly first: number
  /** One above the last message. */
  readonly end: number
  readonly lastChunkAt: number | undefined
  /** Where the last chunk begins, whatever it holds; -1 for a stream that never held anything. */
  readonly lastChunk: number
}

/** The oldest offset that is kept, and where the last chunk begins; -1 for a stream that never held anything. */
async function chunksOf(client: StreamClient, stream: string): Promise<{ first: number; lastChunk: number }> {
  const { statistics } = await client.locator.sendAndWait<StreamStatsResponse>(new StreamStatsRequest(stream))
  return { first: Math.max(0, Number(statistics.firstChunkId)), lastChunk: Number(statistics.committedChunkId) }
}

/** The oldest offset that is kept. */
export async function firstOffsetOf(client: StreamClient, stream: string): Promise<number> {
  return (await chunksOf(client, stream)).first
}

/**
 * What a stream holds. The broker's statistics know where the last chunk begins; only the chunk tells where it ends.
 *
 * @param known - what it held before: the chunk isn't read again where it still is the last one.
 */
export async function rangeOf(client: StreamClient, stream: string, known?: StreamRange): Promise<StreamRange> {
  const { first, lastChunk } = await chunksOf(client, stream)
  if (lastChunk < 0) return { first, end: first, lastChunkAt: undefined, lastChunk }
  if (lastChunk === known?.lastChunk) return { ...known, first }
  const [chunk] = await readChunks(client, stream, Offset.last(), 1, () => true)
  if (chunk === undefined) return { first, end: lastChunk + 1, lastChunkAt: undefined, lastChunk }
  return { first, end: chunk.end, lastChunkAt: chunk.timestamp, lastChunk }
}

/** The offsets of the oldest and the newest message. */
export function heldIn({ first, end, lastChunkAt }: StreamRange): Pick<OutOfRange, 'first' | 'last'> {
  return lastChunkAt === undefined
    ? { first: undefined, last: undefined }
    : { first: String(first), last: String(end - 1) }
}

/** What of a partition is gone between the position of a group and where it reads on. */
export function removedRange(topic: string, partition: number, from: number | undefined, to: number): RemovedRange {
  const known = from === undefined ? undefined : { from: String(from), messages: Math.max(0, to - from) }
  return { topic, partition, from: known?.from, to: String(to), messages: known?.messages }
}

/** The offset that a position means now, within what the stream holds. `outside` says where to go on where the position lies outside. */
export async function resolvePosition(
  client: StreamClient,
  stream: string,
  position: StartPosition,
  outside: (offset: number, range: StreamRange) => 'earliest' | 'latest',
): Promise<number> {
  if (position === 'earliest') return firstOffsetOf(client, stream)
  const range = await rangeOf(client, stream)
  if (position === 'latest') return range.end
  if ('offset' in position) return withinRange(position.offset, range, outside)
  if (range.lastChunkAt === undefined || range.lastChunkAt < position.timestamp) return range.end
  const from = Offset.timestamp(new Date(position.timestamp))
  const [chunk] = await readChunks(client, stream, from, 1, () => true)
  return chunk === undefined ? range.end : chunk.firstOffset
}

function withinRange(
  text: string,
  range: StreamRange,
  outside: (offset: number, range: StreamRange) => 'earliest' | 'latest',
): number {
  const offset = Number(text)
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw failure('INVALID_ARGUMENT', `invalid offset '${text}': expected a non-negative integer`, 'seek', undefined)
  }
  if (offset >= range.first && offset <= range.end) return offset
  return outside(offset, range) === 'earliest' ? range.first : range.end
}

/** True where messages stand from `position` on. */
export async function hasMessagesFrom(
  client: StreamClient,
  stream: string,
  position: number | undefined,
): Promise<boolean> {
  const { end, lastChunkAt } = await rangeOf(client, stream)
  return lastChunkAt !== undefined && end > (position ?? 0)
}

/** Messages from `position` on in a stream that holds `range`. Exact up to a few thousand; above, the broker's own records among them count too. */
export async function lagOf(
  client: StreamClient,
  stream: string,
  position: number | undefined,
  range: StreamRange,
): Promise<number> {
  const from = Math.max(position ?? range.first, range.first)
  if (range.end <= from || range.lastChunkAt === undefined) return 0
  if (range.end - from > EXACT_LAG) return range.end - from
  const chunks = await readChunks(
    client,
    stream,
    Offset.offset(BigInt(from)),
    COUNTED_CHUNKS,
    ({ end }) => end >= range.end,
  )
  if ((chunks.at(-1)?.end ?? 0) < range.end) return range.end - from
  return chunks.reduce(
    (sum, chunk) => sum + Math.max(0, Math.min(chunk.end, range.end) - Math.max(chunk.firstOffset, from)),
    0,
  )
}

/**
 * Reads chunks until `last` says so, or none is left. The broker sends what it has while it handles a subscription or a credit,
 * so that once it has answered a later question, everything that was there has come.
 */
async function readChunks(
  client: StreamClient,
  stream: string,
  offset: Offset,
  credit: number,
  last: (chunk: Chunk) => boolean,
): Promise<Chunk[]> {
  const chunks: Chunk[] = []
  let broken: unknown
  const handle = await client.subscribe(
    { stream, offset, credit, consumerTag: 'streamswitch position' },
    {
      chunk: (bytes) => {
        try {
          chunks.push(new Chunk(bytes))
        } catch (error) {
          broken = error
        }
      },
    },
  )
  let seen = 0
  // What follows on a credit may take the broker longer than the answer to a question.
  for (let quiet = 0; quiet < (seen === 0 ? 1 : PATIENCE) && broken === undefined; quiet += 1) {
    await handle.connection.sendAndWait(new MetadataRequest({ streams: [stream] }))
    if (chunks.length === seen) continue
    if (last(chunks.at(-1) as Chunk)) break
    client.credit(handle, chunks.length - seen)
    seen = chunks.length
    quiet = -1
  }
  await client.unsubscribe(handle)
  if (broken !== undefined) throw broken
  return chunks
}
