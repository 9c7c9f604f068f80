import type { ConsumerSpec, TopicSpec } from '../contract/adapter.js'
import type { ConsumerDriver, ConsumerSink } from '../contract/consumer-driver.js'
import { isStreamError, StreamError } from '../errors.js'
import { isPortableName } from '../names.js'
import { isInternalTopic, matchesPattern } from '../topic-pattern.js'
import type { Transport } from '../transport/transport.js'
import type { DeadLetters } from './dead-letters.js'
import { PatternDriver } from './pattern-driver.js'

/**
 * Maximum number of warnings about topics that are skipped for their names: on some transports any sender can name any
 * number of topics.
 */
const MAX_SKIP_WARNINGS = 100

/** Prefix of the spec names of topics that were joined later. */
const LATE = '+'

export interface SubscriptionSettings {
  readonly subject: string
  readonly pattern: string
  readonly transport: Transport
  /** Of the loop; without topics. */
  readonly spec: ConsumerSpec
  readonly deadLetters: DeadLetters | undefined
  /** How often topics are polled, in milliseconds. */
  readonly refreshMs: number
  /** Maximum time for joining topics that were found, in milliseconds. */
  readonly connectTimeoutMs: number
}

/** A loop's topics by pattern, for the lifetime of the loop, across drivers. */
export class TopicSubscription {
  readonly settings: SubscriptionSettings
  /** Topics that this loop receives now, in the order of joining. */
  readonly joined = new Set<string>()
  /** Topics that have been joined at any time. */
  readonly #known = new Set<string>()
  /** Adapters recognise returning loops by their specs. */
  readonly #specs = new Map<string, ConsumerSpec>()
  readonly #skipped = new Set<string>()
  #lateSpecs = 0
  #opened = false

  constructor(settings: SubscriptionSettings) {
    this.settings = settings
  }

  driver(sink: ConsumerSink): ConsumerDriver {
    this.joined.clear()
    for (const name of this.#specs.keys()) if (name.startsWith(LATE)) this.#specs.delete(name)
    return new PatternDriver(this, sink)
  }

  /**
   * Whether the loop accepts a topic. A topic whose dead letters would have no portable name is skipped with a warning.
   */
  accepts(topic: string): boolean {
    const { pattern, deadLetters, transport, subject } = this.settings
    if (!isPortableName(topic) || isInternalTopic(topic) || !matchesPattern(pattern, topic)) return false
    const deadLetterTopic = deadLetters?.topicFor(topic)
    if (deadLetters?.canTake(topic) !== false) return deadLetterTopic !== topic
    if (!this.#skipped.has(topic) && this.#skipped.size < MAX_SKIP_WARNINGS) {
      this.#skipped.add(topic)
      transport.logger.warn(
        `${subject}: topic '${topic}' is skipped: its dead-letter topic '${deadLetterTopic}' would not be portable (set deadLetter: { topic: '…' })`,
      )
    }
    return false
  }

  /**
   * Returns the existing topics that the loop accepts, sorted. A topic with a native name matches only by the name that
   * the transport's `topics` give it.
   */
  async list(): Promise<string[]> {
    const { transport } = this.settings
    const mapped = new Set(transport.mappedTopics)
    const wanted = [...mapped].filter((topic) => this.accepts(topic))
    const native = new Set(wanted.map((topic) => transport.topicSpec(topic).brokerTopic))
    const own = (await transport.admin.topics())
      .map(({ topic }) => topic)
      .filter(
        (topic) => this.accepts(topic) && !mapped.has(topic) && !native.has(transport.topicSpec(topic).brokerTopic),
      )
    const found = await Promise.all(wanted.map(async (topic) => ((await this.#exists(topic)) ? [topic] : [])))
    return [...own, ...found.flat()].sort()
  }

  async #exists(topic: string): Promise<boolean> {
    const { transport } = this.settings
    try {
      await transport.admin.provision({ ...transport.topicSpec(topic), provision: 'verify', groups: 'verify' })
      return true
    } catch (error) {
      if (isStreamError(error) && error.code === 'NOT_FOUND') return false
      throw error
    }
  }

  /**
   * Returns topics grouped by what can be joined at once: topics that appeared while the loop runs are separate when
   * they start at a different offset.
   */
  together(topics: readonly string[]): string[][] {
    const isNew = (topic: string): boolean => this.#opened && !this.#known.has(topic)
    if (this.settings.spec.from !== 'latest') return topics.length === 0 ? [] : [[...topics]]
    return [topics.filter((topic) => !isNew(topic)), topics.filter(isNew)].filter((some) => some.length > 0)
  }

  /**
   * Returns the spec for a driver of these topics; the same object each time. `when`: joined as the first topics of a
   * connection, which keep the member's name, or beside others. Messages sent to a topic before it is found must not be
   * lost, so topics that appear while the loop runs are read from their beginning, also with `from: 'latest'`.
   */
  specOf(topics: readonly string[], when: 'first' | 'late'): ConsumerSpec {
    const name = `${when === 'late' ? LATE : ''}${topics.join(',')}`
    const present = this.#specs.get(name)
    if (present !== undefined) return present
    const { spec, transport } = this.settings
    const isNew = this.#opened && topics.every((topic) => !this.#known.has(topic))
    if (when === 'late') this.#lateSpecs += 1
    const made = {
      ...spec,
      topics: topics.map((topic) => foundTopic(transport, topic)),
      member: when === 'first' ? spec.member : `${spec.member}-${this.#lateSpecs + 1}`,
      from: isNew && spec.from === 'latest' ? 'earliest' : spec.from,
    } as const
    this.#specs.set(name, made)
    return made
  }

  /** The first topics were joined, if there were any. */
  opened(): void {
    this.#opened = true
  }

  noteJoined(topics: readonly string[]): void {
    for (const topic of topics) {
      this.joined.add(topic)
      this.#known.add(topic)
    }
  }

  noteLeft(topics: readonly string[]): void {
    for (const topic of topics) this.joined.delete(topic)
  }

  /** A topic is left as if it had never been joined. */
  forget(topic: string): void {
    this.joined.delete(topic)
    this.#known.delete(topic)
    this.#specs.delete(topic)
    this.#specs.delete(`${LATE}${topic}`)
  }

  error(message: string): StreamError {
    const { subject, transport } = this.settings
    return new StreamError(`${subject}: ${message}`, {
      code: 'ABORTED',
      transport: transport.name,
      operation: 'consume',
    })
  }
}

/** A found topic may be deleted at any moment, and must not be recreated by a consumer. */
function foundTopic(transport: Transport, topic: string): TopicSpec {
  const spec = transport.topicSpec(topic)
  const { provision, groups = provision } = spec
  return { ...spec, provision: provision === 'create' ? 'verify' : provision, groups }
}
