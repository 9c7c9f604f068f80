import { setTimeout as delay } from 'node:timers/promises'
import type { Channel, ConsumeMessage } from 'amqplib'
import type { AmqpConnection } from './connection.js'
import { confirmed } from './control-channel.js'
import { replyCodeOf } from './errors.js'
import { catalogueName } from './names.js'

const FORMAT = 1
/** What is made must not wait longer than this for being listed, in milliseconds. */
const NOTE_TIMEOUT_MS = 2_000
/** How long another reader is waited for. */
const TRY_AGAIN_MS = 50
const MAX_TRIES = 100

/** That a topic, or a group of it, was made. */
export interface CatalogueEntry {
  readonly topic: string
  readonly partitions: number
  readonly group?: string | undefined
}

/**
 * The list of topics and groups below a prefix: one message per entry in a queue of its own, since the protocol can't list what
 * a broker holds. Written when something is made, which goes on without
 * where that can't be had soon; read by admin calls only. Entries may stand in it twice.
 */
export class Catalogue {
  readonly #queue: string

  constructor(prefix: string) {
    this.#queue = catalogueName(prefix)
  }

  async add(connection: AmqpConnection, entry: CatalogueEntry): Promise<void> {
    await connection.withChannelAside('note in the catalogue', NOTE_TIMEOUT_MS, async (channel) => {
      await this.#declare(channel)
      await confirmed(channel, '', this.#queue, Buffer.from(JSON.stringify({ format: FORMAT, ...entry })), {
        contentType: 'application/json',
      })
    })
  }

  /** Every entry, without repetitions. Empty where nothing was ever made. */
  async read(connection: AmqpConnection): Promise<CatalogueEntry[]> {
    const taken = await this.#exclusively(connection, 'read the catalogue', async () => {})
    return unique(taken)
  }

  /** Removes a topic with its groups. */
  async remove(connection: AmqpConnection, topic: string): Promise<void> {
    await this.#exclusively(connection, 'clear the catalogue', async (channel, message, entry) => {
      if (entry.topic === topic) channel.ack(message)
    })
  }

  /** Reads everything, as the only reader, and puts back what was not acked, in its place. Another reader is waited for. */
  async #exclusively(
    connection: AmqpConnection,
    what: string,
    visit: (channel: Channel, message: ConsumeMessage, entry: CatalogueEntry) => Promise<void>,
  ): Promise<CatalogueEntry[]> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await connection.withChannel(what, async (channel) => {
          await this.#declare(channel)
          const entries: CatalogueEntry[] = []
          for (const message of await this.#take(channel)) {
            const entry = parse(message)
            if (entry === undefined) continue
            entries.push(entry)
            await visit(channel, message, entry)
          }
          return entries
        })
      } catch (error) {
        if (replyCodeOf(error) !== 403 || tries >= MAX_TRIES) throw error
        await delay(TRY_AGAIN_MS)
      }
    }
  }

  async #declare(channel: Channel): Promise<void> {
    await channel.assertQueue(this.#queue, { durable: true })
  }

  async #take(channel: Channel): Promise<ConsumeMessage[]> {
    const taken: ConsumeMessage[] = []
    // The broker lets one exclusive consumer in, so that from here on the count holds for what will come.
    const arrived = new Promise<void>((resolve, reject) => {
      let expected: number | undefined
      const look = (): void => {
        if (expected !== undefined && taken.length >= expected) resolve()
      }
      const receive = (message: ConsumeMessage | null): void => {
        if (message === null) return reject(new Error('channel closed: the catalogue was deleted while it was read'))
        taken.push(message)
        look()
      }
      channel
        .checkQueue(this.#queue)
        .then(({ messageCount }) => {
          expected = messageCount
          return channel.consume(this.#queue, receive, { exclusive: true })
        })
        .then(look, reject)
    })
    await arrived
    return taken
  }
}

function parse(message: ConsumeMessage): CatalogueEntry | undefined {
  try {
    const entry = JSON.parse(message.content.toString()) as Partial<CatalogueEntry>
    if (typeof entry.topic !== 'string' || typeof entry.partitions !== 'number') return undefined
    return {
      topic: entry.topic,
      partitions: entry.partitions,
      ...(typeof entry.group === 'string' ? { group: entry.group } : {}),
    }
  } catch {
    return undefined
  }
}

function unique(entries: readonly CatalogueEntry[]): CatalogueEntry[] {
  // A topic that was deleted elsewhere and made again with another count stands in it twice: the later one holds.
  return [...new Map(entries.map((entry) => [`${entry.topic}\n${entry.group ?? ''}`, entry])).values()]
}
