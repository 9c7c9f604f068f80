import { randomUUID } from 'node:crypto'
import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import type { AmqpConnection } from './connection.js'
import { confirmed } from './control-channel.js'
import { replyCodeOf, unanswered } from './errors.js'
import { sharedNames } from './names.js'
import { declareStream, type LogEntry, readBetween, readTail } from './stream-log.js'

const FORMAT = 1
/** Creating a topic must not wait longer than this for its entry, in milliseconds. */
const NOTE_TIMEOUT_MS = 5_000

/** That a topic, or a group of it, exists. */
export interface RegistryEntry {
  readonly topic: string
  readonly partitions: number
  readonly group?: string | undefined
}

interface Change {
  readonly entry: RegistryEntry
  readonly deleted: boolean
}

/**
 * The list of topics and groups below a prefix, since the protocol can't list what a broker holds: a stream of changes, of which
 * each transport keeps the sum and reads only what is new. Written when something is created, which goes on where that isn't possible.
 */
export class TopicRegistry {
  readonly #stream: string
  #entries = new Map<string, RegistryEntry>()
  /** The newest entry that has been read: another one at its offset means another stream. */
  #end: { readonly offset: number; readonly id: unknown } | undefined
  #reading: Promise<void> = Promise.resolve()
  #wasRead = false

  constructor(prefix: string) {
    this.#stream = sharedNames(prefix).registry
  }

  /** Notes what was just created. */
  add(connection: AmqpConnection, entry: RegistryEntry): Promise<void> {
    return this.#append(connection, { entry, deleted: false })
  }

  /** Notes what exists, unless it is known to be noted: a lost registry fills again as producers and loops start. */
  async ensure(connection: AmqpConnection, entry: RegistryEntry): Promise<void> {
    if (this.#has(entry)) return
    if (!this.#wasRead) await this.read(connection)
    if (!this.#has(entry)) await this.add(connection, entry)
  }

  /** Every topic and group. Empty where nothing was ever created. */
  async read(connection: AmqpConnection): Promise<RegistryEntry[]> {
    const reading = this.#reading.catch(() => {}).then(() => this.#refresh(connection))
    this.#reading = reading
    await reading
    return [...this.#entries.values()]
  }

  /** Removes a topic with its groups. */
  async remove(connection: AmqpConnection, topic: string): Promise<void> {
    await this.#append(connection, { entry: { topic, partitions: 0 }, deleted: true })
  }

  #has({ topic, group, partitions }: RegistryEntry): boolean {
    return this.#entries.get(keyOf(topic, group))?.partitions === partitions
  }

  async #append(connection: AmqpConnection, change: Change): Promise<void> {
    await connection.withChannelAside('write to the topic registry', NOTE_TIMEOUT_MS, async (channel) => {
      await declareStream(channel, this.#stream)
      await this.#write(channel, { ...change.entry, ...(change.deleted ? { deleted: true } : {}) })
    })
    this.#apply(change)
  }

  async #write(channel: ConfirmChannel, content: object): Promise<void> {
    await confirmed(channel, '', this.#stream, Buffer.from(JSON.stringify({ format: FORMAT, ...content })), {
      contentType: 'application/json',
      messageId: randomUUID(),
    })
  }

  /** Reads what was appended since the last call. */
  async #refresh(connection: AmqpConnection): Promise<void> {
    try {
      const entries = await connection.withChannel('read the topic registry', async (channel) => {
        const tail = await this.#tail(channel)
        const last = tail.at(-1) as LogEntry
        const known = this.#end
        if (known !== undefined && known.offset <= last.offset) {
          const since =
            (tail[0] as LogEntry).offset <= known.offset
              ? tail.filter(({ offset }) => offset >= known.offset)
              : await readBetween(channel, this.#stream, known.offset, last.offset)
          const first = since[0]
          if (first?.offset === known.offset && first.message.properties.messageId === known.id) return since.slice(1)
        }
        this.#forget()
        return readBetween(channel, this.#stream, 'first', last.offset)
      })
      this.#wasRead = true
      for (const { message, offset } of entries) {
        const change = parseChange(message)
        if (change !== undefined) this.#apply(change)
        this.#end = { offset, id: message.properties.messageId }
      }
    } catch (error) {
      if (replyCodeOf(error) !== 404) throw error
      this.#wasRead = true
      this.#forget()
    }
  }

  /** Never empty: whoever declared the stream may have died before its first entry. */
  async #tail(channel: ConfirmChannel): Promise<LogEntry[]> {
    const tail = await readTail(channel, this.#stream)
    if (tail.length > 0) return tail
    await this.#write(channel, {})
    const written = await readTail(channel, this.#stream)
    if (written.length === 0) throw unanswered(`read stream ${this.#stream}`, NOTE_TIMEOUT_MS)
    return written
  }

  #forget(): void {
    this.#entries = new Map()
    this.#end = undefined
  }

  #apply({ entry, deleted }: Change): void {
    const { topic, group } = entry
    if (!deleted) this.#entries.set(keyOf(topic, group), entry)
    else for (const [key, present] of [...this.#entries]) if (present.topic === topic) this.#entries.delete(key)
  }
}

function keyOf(topic: string, group: string | undefined): string {
  return `${topic}\n${group ?? ''}`
}

/** An entry of the registry; `undefined` for what can't be understood. */
export function parseChange(message: ConsumeMessage): Change | undefined {
  try {
    const raw = JSON.parse(message.content.toString()) as Partial<RegistryEntry & { readonly deleted: unknown }>
    if (typeof raw.topic !== 'string' || typeof raw.partitions !== 'number') return undefined
    const { topic, partitions } = raw
    return {
      entry: { topic, partitions, ...(typeof raw.group === 'string' ? { group: raw.group } : {}) },
      deleted: raw.deleted === true,
    }
  } catch {
    return undefined
  }
}
