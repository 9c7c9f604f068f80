import type { TopicSearch } from '@streamswitch/core/driver'
import type { GroupInbox } from './group-inbox.js'

/** Maximum number of topics that senders may have one loop by pattern join: a sender could name any number. */
export const MAX_FOUND_TOPICS = 1_000
/** How long a topic without an accepted message is kept after its last message, in milliseconds. */
const FORGET_MS = 5 * 60_000
/** How often such topics are looked for, in milliseconds. */
const SWEEP_MS = 60_000

interface FoundTopic {
  /** A message was accepted: the topic is one. */
  proven: boolean
  /** Messages at the last look, and when there was another number of them, by `performance.now()`. */
  messages: number
  changedAt: number
}

export interface FoundTopicsSettings {
  readonly search: TopicSearch
  /** The inbox of a found topic, while the loop has joined it. */
  inboxOf(topic: string): GroupInbox | undefined
  /** Told once, when the maximum is reached. */
  warn(message: string): void
}

/**
 * The topics that one loop by pattern has joined because senders named them, at most {@link MAX_FOUND_TOPICS}. One of which no
 * message was accepted makes room for a new one, and is left after some minutes in any case.
 */
export class FoundTopics {
  readonly #settings: FoundTopicsSettings
  /** In the order in which they were found. */
  readonly #topics = new Map<string, FoundTopic>()
  readonly #sweeper: NodeJS.Timeout
  #warned = false

  constructor(settings: FoundTopicsSettings) {
    this.#settings = settings
    this.#sweeper = setInterval(() => this.#sweep(performance.now()), SWEEP_MS).unref()
  }

  /** Joins a topic that a sender has named. `undefined` where it is none for this loop, or there is no room for it. */
  find(topic: string): Promise<void> | undefined {
    const { search } = this.#settings
    if (!search.accepts(topic)) return undefined
    if (!this.#topics.has(topic)) {
      if (this.#topics.size >= MAX_FOUND_TOPICS && !this.#makeRoom()) return undefined
      this.#topics.set(topic, { proven: false, messages: 0, changedAt: performance.now() })
    }
    return search.found(topic).catch((error: unknown) => {
      this.#topics.delete(topic)
      throw error
    })
  }

  close(): void {
    clearInterval(this.#sweeper)
    this.#topics.clear()
  }

  #makeRoom(): boolean {
    if (!this.#warned) {
      this.#warned = true
      this.#settings.warn(
        `senders have named ${MAX_FOUND_TOPICS} topics, the maximum of a loop by pattern: topics without an accepted message make room for new ones`,
      )
    }
    for (const [topic, found] of this.#topics) {
      if (!this.#isUnused(topic, found)) continue
      this.#leave(topic)
      return true
    }
    return false
  }

  #sweep(now: number): void {
    for (const [topic, found] of this.#topics) {
      const messages = this.#settings.inboxOf(topic)?.messages ?? 0
      if (messages !== found.messages) Object.assign(found, { messages, changedAt: now })
      if (now - found.changedAt >= FORGET_MS && this.#isUnused(topic, found)) this.#leave(topic)
    }
  }

  /** Nothing was accepted, and nothing is waiting or being handled. */
  #isUnused(topic: string, found: FoundTopic): boolean {
    const inbox = this.#settings.inboxOf(topic)
    found.proven ||= inbox?.hasAccepted === true
    // Without an inbox it is just being joined.
    return !found.proven && inbox !== undefined && inbox.unsettled === 0
  }

  #leave(topic: string): void {
    this.#topics.delete(topic)
    // Rejects where the loop is being closed, which leaves everything.
    this.#settings.search.left(topic).catch(() => {})
  }
}
