import type { Logger } from '@streamswitch/core/driver'
import type { ConfirmChannel } from 'amqplib'
import type { AmqpConnection } from './connection.js'
import type { ControlChannel } from './control-channel.js'
import { classifyError, newerFormat, replyCodeOf, unanswered } from './errors.js'

const FORMAT = 1
/** Maximum number of messages recorded per partition; the oldest are dropped first. */
const MAX_ENTRIES = 10_000

/** Maximum time for the queue to answer, in milliseconds. */
const QUEUE_TIMEOUT_MS = 5_000
/** After a queue was found to be away, how long it isn't asked again, in milliseconds. */
const AWAY_MS = 10_000

/** What is kept of a partition between two owners. */
export interface StoredState {
  /** Handler starts by message. */
  readonly attempts: ReadonlyMap<string, number>
  /** Messages that the last owner gave back without running them: whatever died, it wasn't by them. */
  readonly returned: ReadonlySet<string>
}

const NOTHING: StoredState = { attempts: new Map(), returned: new Set() }

export interface StoreSettings {
  readonly queue: string
  readonly topic: string
  readonly connection: AmqpConnection
  readonly control: ControlChannel
  readonly logger: Logger
  /** Several members write: what is there is read again before each write. */
  readonly shared: boolean
}

/**
 * One partition's attempts, as a single message in a queue that holds no more than one: writing a newer one drops the
 * older. The queue is created when there is first something to record, which in a healthy group never happens.
 */
export class AttemptStore {
  readonly #settings: StoreSettings
  #attempts = new Map<string, number>()
  #returned = new Set<string>()
  /** What was changed since the last write: a count, or `undefined` for a message that is done. */
  #changes = new Map<string, number | undefined>()
  #declared = false
  #refused = false
  /** The queue's node is down: nothing is read or noted until then. */
  #awayUntil = 0
  /** There may be something on record that has not been read. */
  #unread = false
  /** Something is to be written that no write has taken along yet. */
  #unwritten = false
  /** Counts the times that the partition was given up: what was to be written before such a time isn't written after it. */
  #era = 0
  #writing: Promise<void> | undefined
  #again: Promise<void> | undefined

  constructor(settings: StoreSettings) {
    this.#settings = settings
  }

  /**
   * Reads what is on record. Rejects when the connection is lost, or with CONFLICT for a newer format. Where only the queue is
   * away, as it is while its node is down, nothing is on record: messages must not wait for it.
   */
  async load(): Promise<void> {
    const { connection, logger, topic } = this.#settings
    this.#unread = true
    const stored = await this.#read().catch((error: unknown) => {
      if (connection.gone || classifyError(error, 'read').code !== 'UNAVAILABLE') throw error
      logger.warn(
        `attempts of ${topic} could not be read, and count from 1 again: ${classifyError(error, 'read').message}`,
      )
      return NOTHING
    })
    this.#attempts = new Map(stored.attempts)
    this.#returned = new Set(stored.returned)
    for (const [id, attempts] of this.#changes) this.#apply(id, attempts)
  }

  attempts(id: string): number {
    return this.#attempts.get(id) ?? 0
  }

  has(id: string): boolean {
    return this.#attempts.has(id)
  }

  /** Takes the list of messages that were given back unstarted, for good: if this member dies now, they are suspect like any. */
  async takeReturned(): Promise<ReadonlySet<string>> {
    const returned = this.#returned
    if (returned.size === 0) return returned
    this.#returned = new Set()
    await this.#write()
    return returned
  }

  /** Durably notes a count. Never rejects: a store that fails must not cost a message its attempts. */
  note(id: string, attempts: number): Promise<void> {
    // A failure right after a start that was noted already.
    if (this.#attempts.get(id) === attempts && !this.#changes.has(id)) return Promise.resolve()
    this.#changes.set(id, attempts)
    this.#apply(id, attempts)
    return this.#tryWrite()
  }

  /** The message is done. Written along with the next change. */
  forget(id: string): void {
    if (!this.#attempts.has(id)) return
    this.#changes.set(id, undefined)
    this.#attempts.delete(id)
  }

  /** Notes what is given back unstarted. Never rejects. */
  giveBack(ids: readonly string[]): Promise<void> {
    for (const id of ids) this.#returned.add(id)
    return this.#tryWrite()
  }

  /** Writes what was forgotten meanwhile. Nothing need be unacked, so that another member may own the partition by now: its notes are kept. Never rejects. */
  flush(): Promise<void> {
    if (this.#changes.size === 0) return Promise.resolve()
    this.#unread = true
    return this.#tryWrite()
  }

  /** The partition is given up, or lost: from now on its record is another member's. Without effect where several write. */
  abandon(): void {
    if (this.#settings.shared) return
    this.#era += 1
    this.#unwritten = false
    this.#changes = new Map()
    this.#returned = new Set()
    this.#unread = true
  }

  #apply(id: string, attempts: number | undefined): void {
    // The newest entries are the last ones.
    this.#attempts.delete(id)
    if (attempts !== undefined) this.#attempts.set(id, attempts)
    if (this.#attempts.size > MAX_ENTRIES) this.#attempts.delete(this.#attempts.keys().next().value as string)
  }

  async #tryWrite(): Promise<void> {
    try {
      await this.#write()
    } catch (error) {
      this.#settings.logger.warn(
        `attempts of ${this.#settings.topic} could not be recorded in ${this.#settings.queue}: ${classifyError(error, 'note').message}`,
      )
    }
  }

  /** One write at a time; calls during one share the next. */
  #write(): Promise<void> {
    this.#unwritten = true
    if (this.#writing === undefined) return this.#begin()
    this.#again ??= this.#writing
      .catch(() => {})
      .then(() => {
        this.#again = undefined
        return this.#unwritten ? this.#begin() : undefined
      })
    return this.#again
  }

  #begin(): Promise<void> {
    this.#writing = this.#writeNow().finally(() => {
      this.#writing = undefined
    })
    return this.#writing
  }

  async #writeNow(): Promise<void> {
    if (this.#refused) return
    const { queue, control, shared } = this.#settings
    const era = this.#era
    if (performance.now() < this.#awayUntil) throw unanswered(`read ${queue}`, AWAY_MS)
    if (shared || this.#unread) await this.#merge()
    await this.#declare()
    await control.open()
    // All that has waited until here may have taken long: the partition may be another member's.
    if (era !== this.#era) return
    this.#unwritten = false
    const changes = this.#changes
    this.#changes = new Map()
    const state = { format: FORMAT, attempts: Object.fromEntries(this.#attempts), returned: [...this.#returned] }
    try {
      await control.publish('', queue, Buffer.from(JSON.stringify(state)), {
        mandatory: true,
        contentType: 'application/json',
      })
    } catch (error) {
      this.#declared = false
      if (era !== this.#era) throw error
      for (const [id, attempts] of this.#changes) changes.set(id, attempts)
      this.#changes = changes
      throw error
    }
  }

  async #merge(): Promise<void> {
    const era = this.#era
    const stored = await this.#read()
    if (era !== this.#era) return
    const mine = this.#returned
    this.#attempts = new Map(stored.attempts)
    this.#returned = new Set([...stored.returned, ...mine])
    for (const [id, attempts] of this.#changes) this.#apply(id, attempts)
  }

  async #declare(): Promise<void> {
    if (this.#declared) return
    const { queue } = this.#settings
    await this.#aside(`make queue ${queue}`, (channel) =>
      channel.assertQueue(queue, {
        durable: true,
        arguments: { 'x-queue-type': 'classic', 'x-max-length': 1, 'x-overflow': 'drop-head' },
      }),
    )
    this.#declared = true
  }

  async #read(): Promise<StoredState> {
    const { queue, topic } = this.#settings
    try {
      // Not acked: closing the channel puts the message back.
      const message = await this.#aside(`read ${queue}`, (channel) => channel.get(queue))
      this.#unread = false
      return message === false ? NOTHING : parseStoredState(message.content, topic)
    } catch (error) {
      if (replyCodeOf(error) === 404) {
        this.#unread = false
        return NOTHING
      }
      this.#refused = classifyError(error, 'read').code === 'CONFLICT'
      throw error
    }
  }

  async #aside<T>(what: string, run: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
    const { connection } = this.#settings
    try {
      return await connection.withChannelAside(what, QUEUE_TIMEOUT_MS, run)
    } catch (error) {
      if (!connection.gone && classifyError(error, what).code === 'UNAVAILABLE')
        this.#awayUntil = performance.now() + AWAY_MS
      throw error
    }
  }
}

/** Attempts as they were stored; nothing where it can't be understood. Throws CONFLICT for a newer format. */
export function parseStoredState(content: Buffer, topic: string): StoredState {
  let raw: { readonly format?: unknown; readonly attempts?: unknown; readonly returned?: unknown }
  try {
    raw = (JSON.parse(content.toString()) ?? {}) as typeof raw
  } catch {
    return NOTHING
  }
  if (typeof raw.format === 'number' && raw.format > FORMAT)
    throw newerFormat(`the attempt record of topic '${topic}'`, topic)
  const attempts = Object.entries((raw.attempts ?? {}) as Record<string, unknown>).filter(
    (entry): entry is [string, number] => typeof entry[1] === 'number',
  )
  const returned = Array.isArray(raw.returned) ? raw.returned.filter((id): id is string => typeof id === 'string') : []
  return { attempts: new Map(attempts), returned: new Set(returned) }
}
