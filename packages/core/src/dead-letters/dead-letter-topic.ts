import type { Delivery } from '../consumer/delivery.js'
import type { GroupNames, TopicSpec } from '../contract/adapter.js'
import { isStreamError } from '../errors.js'
import type { Transport } from '../transport/transport.js'
import { type DeadLetterDetails, readDeadLetter } from './dead-letter.js'
import { DeadLetterReader } from './dead-letter-reader.js'
import { type DeadLetterTarget, deadLetterSpec, readingGroup } from './dead-letter-target.js'
import { settledPlace } from './removal.js'

/** The topic and group of the originals, and the topic of their dead letters. */
interface Origin {
  readonly topic: TopicSpec
  readonly group: GroupNames
  readonly target: DeadLetterTarget
}

/** A dead-letter topic as one group reads it: dead letters of other groups in a shared topic are skipped. */
export class DeadLetterTopic {
  readonly spec: TopicSpec
  /** Maximum time of one read, in milliseconds. */
  readonly timeoutMs: number
  readonly #group: GroupNames
  readonly #keeper: Transport
  readonly #origin: Origin

  /**
   * Throws INVALID_ARGUMENT when the topic's name is not portable. @param keeper - the transport that holds the dead
   * letters.
   */
  constructor(keeper: Transport, origin: Origin, timeoutMs: number) {
    this.#keeper = keeper
    this.#origin = origin
    this.spec = deadLetterSpec(keeper, origin.target)
    this.#group = readingGroup(keeper, origin.target)
    this.timeoutMs = timeoutMs
  }

  /**
   * Returns the offsets that a log's markers declare as removed: markers follow the records they name, so they must be
   * read before anything is used.
   */
  async markedPlaces(signal: AbortSignal | undefined): Promise<ReadonlySet<string>> {
    const marked = new Set<string>()
    await this.read(signal, async (reader) => {
      if (reader.driver.settlement === 'individual') return
      for await (const delivery of reader.deliveries()) {
        const place = settledPlace(delivery)
        if (place !== undefined) marked.add(place)
      }
    })
    return marked
  }

  /** Reads the topic once. If it doesn't exist, there is nothing to read. */
  async read(signal: AbortSignal | undefined, work: (reader: DeadLetterReader) => Promise<void>): Promise<void> {
    signal?.throwIfAborted()
    if (!(await this.#exists())) return
    const reader = new DeadLetterReader({
      transport: this.#keeper,
      topic: this.spec,
      group: this.#group,
      timeoutMs: this.timeoutMs,
      signal,
    })
    try {
      await reader.open()
      if (reader.total > 0) await work(reader)
    } finally {
      await reader.close()
    }
  }

  async #exists(): Promise<boolean> {
    try {
      await this.#keeper.admin.provision({ ...this.spec, provision: 'verify' })
      return true
    } catch (error) {
      if (isStreamError(error) && error.code === 'NOT_FOUND') return false
      throw error
    }
  }

  /**
   * Returns the dead letter in a record; `undefined` for markers, and for those of other topics or groups in a shared
   * topic.
   */
  letterOf(delivery: Delivery): DeadLetterDetails | undefined {
    if (settledPlace(delivery) !== undefined) return undefined
    const { origin, topic } = this.#origin.topic
    const { groupOrigin, group } = this.#origin.group
    const letter = readDeadLetter(delivery, origin, groupOrigin)
    if (letter.origin.topic !== origin || letter.origin.group !== groupOrigin) return undefined
    // Shown under the names that the caller used, whatever others call them.
    return { ...letter, origin: { ...letter.origin, topic, group } }
  }
}
