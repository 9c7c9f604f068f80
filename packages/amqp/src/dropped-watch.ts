import { setMaxListeners } from 'node:events'
import {
  atMost,
  backoffDelayMs,
  type ConsumerSink,
  DEAD_LETTER_GROUP,
  DEAD_LETTER_HEADERS,
  type Logger,
  RECONNECT_BACKOFF,
} from '@streamswitch/core/driver'
import type { Channel } from 'amqplib'
import type { AmqpConnection } from './connection.js'
import { ContentHeader } from './content-header.js'
import type { ControlChannel } from './control-channel.js'
import { asBefore, type Death, deathOf, droppedDelivery, droppedError } from './dropped-message.js'
import { classifyError, replyCodeOf } from './errors.js'
import { exactProperties } from './exact-frames.js'
import { contentHeaderOf } from './header-texts.js'
import type { GroupNames, SharedNames } from './names.js'
import { declareStream, follow, type LogEntry, readTail } from './stream-log.js'
import { provisionDropped } from './topology.js'

const FORMAT = 1
/** A broker that blocks publishers must not keep a loop from closing, in milliseconds. */
const CLOSE_MS = 2_000
/** Messages that are reported at a time, and that the broker sends ahead. */
const BATCH = 100
const PERSISTENT = 2
/** After so many messages of other groups the offset is written, so that the next reader need not pass over them. */
const SAVE_AFTER_FOREIGN = 1_000

/** One group of one topic whose dropped messages are looked after. */
export interface DropTarget {
  readonly topic: string
  /** What headers call topic and group. */
  readonly origin: string
  readonly groupOrigin: string
  readonly group: string
  readonly names: GroupNames
  readonly partitions: number
  /** One member reports for all. */
  readonly leads: boolean
  /** This transport creates what is missing. */
  readonly creates: boolean
}

export interface DroppedWatchSettings {
  readonly connection: AmqpConnection
  readonly control: ControlChannel
  readonly shared: SharedNames
  readonly logger: Logger
  readonly sink: ConsumerSink
  readonly targets: readonly DropTarget[]
}

/** What a target has got to: everything up to `done` is reported, and up to `saved` the next leader knows it. */
interface Progress {
  readonly target: DropTarget
  done: number
  saved: number
}

/**
 * Reports what the broker has dropped from the queues of the groups that this member leads: reads the stream of dropped messages, hands
 * each to core, which writes it to the dead letters, and keeps the offset in a stream of the group's. A leader that dies in
 * between has its last messages reported again by the next one.
 */
export class DroppedWatch {
  readonly #settings: DroppedWatchSettings
  #led = ''
  #session = new AbortController()
  #changes: Promise<void> = Promise.resolve()
  #closed = false
  /** Dead-letter queues that were reported. */
  readonly #reported = new Set<string>()

  constructor(settings: DroppedWatchSettings) {
    this.#settings = settings
  }

  /** Members came or went: this one may lead other groups than before. */
  refresh(): void {
    const { targets, sink } = this.#settings
    if (this.#closed || sink.dropped === undefined) return
    const led = targets.filter((target) => target.leads)
    const key = led.map(({ names }) => names.droppedOffset).join('\n')
    if (key === this.#led) return
    this.#led = key
    this.#session.abort()
    const session = new AbortController()
    // Every message that is being reported waits for it: Node.js would take more than ten listeners for a leak.
    setMaxListeners(0, session.signal)
    this.#session = session
    this.#changes = this.#changes.then(() => this.#serve(led, session.signal))
  }

  /** Ends running reports immediately; the next leader repeats them. Never rejects, and waits two seconds at most. */
  async close(): Promise<void> {
    this.#closed = true
    this.#session.abort()
    await atMost(this.#changes, CLOSE_MS)
  }

  async #serve(led: readonly DropTarget[], signal: AbortSignal): Promise<void> {
    const { connection, logger, shared } = this.#settings
    for (let attempt = 1; led.length > 0 && !signal.aborted && !connection.gone; attempt += 1) {
      try {
        await this.#follow(led, signal)
      } catch (error) {
        if (signal.aborted || connection.gone) return
        const { code, message, retryable } = classifyError(error, 'read dropped messages')
        if (code === 'NOT_FOUND') {
          if (await this.#recreate(led)) continue
          return logger.debug(`there is no stream ${shared.dropped}: dropped messages are not reported`)
        }
        logger.warn(`messages that the broker drops can't be reported (stream ${shared.dropped}): ${message}`)
        if (!retryable) return
      }
      await delay(backoffDelayMs(RECONNECT_BACKOFF, attempt), signal)
    }
  }

  async #recreate(led: readonly DropTarget[]): Promise<boolean> {
    const { connection, shared, logger } = this.#settings
    if (!led.some(({ creates }) => creates)) return false
    try {
      await provisionDropped({ connection, shared })
      return true
    } catch (error) {
      logger.warn(`stream ${shared.dropped} can't be created: ${classifyError(error, 'open').message}`)
      return false
    }
  }

  async #follow(led: readonly DropTarget[], signal: AbortSignal): Promise<void> {
    const { connection, shared } = this.#settings
    const progress: Progress[] = []
    for (const target of led) {
      const done = await this.#readOffset(target)
      progress.push({ target, done, saved: done })
    }
    const from = await this.#start(progress)
    const arrived: LogEntry[] = []
    let wake = (): void => {}
    let ended: { readonly error: unknown } | undefined
    const end = (error: unknown): void => {
      ended ??= { error }
      wake()
    }
    const abort = (): void => end(undefined)
    signal.addEventListener('abort', abort)
    const channel = await connection.openChannel((error) => end(error))
    try {
      await connection.call(
        `consume ${shared.dropped}`,
        follow(channel, shared.dropped, from, 2 * BATCH, (entry) => {
          if (entry === undefined) return end(new Error(`channel closed: stream ${shared.dropped} was deleted`))
          arrived.push(entry)
          wake()
        }),
      )
      while (!signal.aborted) {
        const batch = arrived.splice(0, BATCH)
        if (batch.length > 0) await this.#report(channel, batch, progress, signal)
        else if (ended !== undefined) throw ended.error
        else
          await new Promise<void>((resolve) => {
            wake = resolve
          })
      }
    } finally {
      signal.removeEventListener('abort', abort)
      if (ended?.error === undefined && !connection.gone)
        await connection.call('close a channel', channel.close()).catch(() => {})
    }
  }

  /** Where to read from. An offset behind the end is one of a stream that was deleted. */
  async #start(progress: readonly Progress[]): Promise<'first' | number> {
    const first = Math.min(...progress.map(({ done }) => done))
    if (first < 0) return 'first'
    const { connection, shared } = this.#settings
    const tail = await connection.withChannel('read dropped messages', (channel) => readTail(channel, shared.dropped))
    if ((tail.at(-1)?.offset ?? -1) >= Math.max(...progress.map(({ done }) => done))) return first + 1
    for (const one of progress) {
      one.done = -1
      one.saved = -1
    }
    return 'first'
  }

  async #report(
    channel: Channel,
    batch: readonly LogEntry[],
    progress: readonly Progress[],
    signal: AbortSignal,
  ): Promise<void> {
    const touched = new Set<Progress>()
    const reports: Promise<void>[] = []
    for (const entry of batch) {
      const death = deathOf(entry.message)
      const found = death === undefined ? undefined : find(entry, death, progress)
      if (death === undefined || found === undefined || entry.offset <= found.progress.done) continue
      touched.add(found.progress)
      reports.push(
        found.partition === undefined
          ? this.#returnDeadLetter(entry, death, found.progress.target)
          : this.#hand(entry, death, found.progress.target, found.partition, signal),
      )
    }
    await Promise.all(reports)
    const last = batch.at(-1) as LogEntry
    for (const one of progress) {
      one.done = Math.max(one.done, last.offset)
      if (touched.has(one) || one.done - one.saved >= SAVE_AFTER_FOREIGN) await this.#saveOffset(one)
    }
    channel.ack(last.message, true)
  }

  async #hand(
    entry: LogEntry,
    death: Death,
    target: DropTarget,
    partition: number,
    signal: AbortSignal,
  ): Promise<void> {
    const delivery = droppedDelivery(entry, death, target, partition)
    await this.#settings.sink.dropped?.(delivery, droppedError(death, target.topic), signal)
  }

  /** A dead letter that was dropped after having been read a few times goes back; what expires or is pushed out would only do so again. */
  async #returnDeadLetter(entry: LogEntry, death: Death, { topic }: DropTarget): Promise<void> {
    const { control, sink, logger } = this.#settings
    if (death.reason === 'delivery_limit') {
      const message = asBefore(entry, death)
      const header = contentHeaderOf(message) ?? new ContentHeader()
      // Of somebody else the broker would refuse it.
      header.delete('user-id')
      header.setOctet('delivery-mode', PERSISTENT)
      await control.publish('', death.queue, message.content, exactProperties(header.encode()))
      return logger.info(`a dead letter that the broker had dropped is back in ${death.queue}`)
    }
    const key = `${death.queue}\n${death.reason}`
    if (this.#reported.has(key)) return
    this.#reported.add(key)
    sink.report(droppedError(death, topic))
  }

  async #readOffset({ names }: DropTarget): Promise<number> {
    const { connection } = this.#settings
    try {
      const tail = await connection.withChannel(`read ${names.droppedOffset}`, (channel) =>
        readTail(channel, names.droppedOffset),
      )
      const last = tail.at(-1)
      return last === undefined ? -1 : parseOffset(last.message.content)
    } catch (error) {
      if (replyCodeOf(error) === 404) return -1
      throw error
    }
  }

  /** Never rejects: what can't be written is reported again by the next leader. */
  async #saveOffset(progress: Progress): Promise<void> {
    const { connection, control, logger } = this.#settings
    const { target, done } = progress
    const stream = target.names.droppedOffset
    const body = Buffer.from(JSON.stringify({ format: FORMAT, offset: done }))
    try {
      if (progress.saved < 0)
        await connection.withChannel(`make ${stream}`, (channel) => declareStream(channel, stream))
      await control.publish('', stream, body, { mandatory: true, contentType: 'application/json' })
      progress.saved = done
    } catch (error) {
      // Next time it is declared again: it may have been deleted.
      progress.saved = -1
      if (!connection.gone)
        logger.warn(
          `dropped messages of ${target.topic} will be reported again: their offset could not be written to ${stream}: ${classifyError(error, 'note').message}`,
        )
    }
  }
}

/** Whose message it is: of one of the groups (with its partition), or a dead letter of one. */
function find(
  { message }: LogEntry,
  { queue }: Death,
  progress: readonly Progress[],
): { readonly progress: Progress; readonly partition: number | undefined } | undefined {
  for (const one of progress) {
    const { names, partitions, origin, groupOrigin } = one.target
    const partition = Number(queue.slice(queue.lastIndexOf(':') + 1))
    if (partition < partitions && queue === names.queue(partition)) return { progress: one, partition }
    const headers = message.properties.headers ?? {}
    if (
      queue.endsWith(`:${DEAD_LETTER_GROUP}:${partition}`) &&
      headers[DEAD_LETTER_HEADERS.topic] === origin &&
      headers[DEAD_LETTER_HEADERS.group] === groupOrigin
    )
      return { progress: one, partition: undefined }
  }
  return undefined
}

/** The offset that is done; -1 where it can't be understood. */
export function parseOffset(content: Buffer): number {
  try {
    const { offset } = JSON.parse(content.toString()) as { readonly offset?: unknown }
    return typeof offset === 'number' ? offset : -1
  } catch {
    return -1
  }
}

async function delay(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, ms)
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done)
  })
}
