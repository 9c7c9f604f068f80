import type { Channel, ConsumeMessage } from 'amqplib'
import { streamsUnavailable, unanswered } from './errors.js'

/** How many entries the broker sends ahead of their acks. Streams refuse consumers without a bound. */
const PREFETCH = 1_000
/** How long an entry that should be there is waited for, in milliseconds. */
const ENTRY_TIMEOUT_MS = 2_000
/** One segment is always kept, whatever a policy says of a queue's length. The broker's default, explicit since a policy may lower a default. */
const SEGMENT_BYTES = 500_000_000

/** One entry of a stream. */
export interface LogEntry {
  readonly offset: number
  readonly message: ConsumeMessage
}

/**
 * Declares a stream. Policies on queues don't apply to it, and reading removes nothing. Rejects with UNSUPPORTED where the broker has
 * no streams, with CONFLICT where the name is taken by another kind of queue.
 */
export async function declareStream(channel: Channel, name: string, maxBytes?: number): Promise<void> {
  try {
    await channel.assertQueue(name, {
      durable: true,
      arguments: {
        'x-queue-type': 'stream',
        'x-stream-max-segment-size-bytes': SEGMENT_BYTES,
        ...(maxBytes === undefined ? {} : { 'x-max-length-bytes': maxBytes }),
      },
    })
  } catch (error) {
    throw streamsUnavailable(error, name)
  }
}

/** The oldest entry of a stream; `undefined` where it is empty. */
export async function readFirst(channel: Channel, name: string): Promise<LogEntry | undefined> {
  return (await collect(channel, name, 'first', () => true))[0]
}

/**
 * The entries of the newest chunk, oldest first: at least everything that was confirmed last before the call. Empty for an empty
 * stream.
 */
export function readTail(channel: Channel, name: string): Promise<LogEntry[]> {
  return collect(channel, name, 'last', () => true)
}

/** Entries from one offset to another, and perhaps some more. Rejects with UNAVAILABLE where the broker stops delivering before. */
export async function readBetween(
  channel: Channel,
  name: string,
  from: 'first' | number,
  upTo: number,
): Promise<LogEntry[]> {
  const entries = await collect(channel, name, from, ({ offset }) => offset >= upTo)
  if ((entries.at(-1)?.offset ?? -1) < upTo) throw unanswered(`read stream ${name}`, ENTRY_TIMEOUT_MS)
  return entries
}

/** Consumes a stream from an offset until the channel ends. `undefined`: the stream is gone. Entries must be acked. */
export async function follow(
  channel: Channel,
  name: string,
  from: 'first' | number,
  prefetch: number,
  receive: (entry: LogEntry | undefined) => void,
): Promise<void> {
  await channel.prefetch(prefetch)
  await channel.consume(name, (message) => receive(message === null ? undefined : entryOf(message)), {
    arguments: { 'x-stream-offset': from },
  })
}

/** Reads until an entry is the last one wanted. The rest of its chunk, which the broker sends before it answers another call, comes along. */
async function collect(
  channel: Channel,
  name: string,
  from: 'first' | 'last' | number,
  isLast: (entry: LogEntry) => boolean,
): Promise<LogEntry[]> {
  const entries: LogEntry[] = []
  let timer: NodeJS.Timeout | undefined
  let complete = false
  try {
    await channel.prefetch(PREFETCH)
    await new Promise<void>((resolve, reject) => {
      const arm = (): void => {
        clearTimeout(timer)
        timer = setTimeout(resolve, ENTRY_TIMEOUT_MS)
      }
      const receive = (message: ConsumeMessage | null): void => {
        // It stays registered until the channel closes, which spares a call.
        if (complete) return
        if (message === null) return reject(new Error(`channel closed: stream ${name} was deleted while it was read`))
        const entry = entryOf(message)
        entries.push(entry)
        if (entries.length % (PREFETCH / 2) === 0) channel.ack(message, true)
        arm()
        if (isLast(entry)) resolve()
      }
      channel.consume(name, receive, { arguments: { 'x-stream-offset': from } }).then(arm, reject)
    })
    await channel.checkQueue(name)
    return entries
  } finally {
    complete = true
    clearTimeout(timer)
  }
}

function entryOf(message: ConsumeMessage): LogEntry {
  return { offset: Number(message.properties.headers?.['x-stream-offset']), message }
}
