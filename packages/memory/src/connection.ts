import { partitionConflict, type ReplyInboxSink, type TopicSpec, topicMissing } from '@streamswitch/core/driver'
import { Topic } from './topic.js'

/** A broker within this process. Its content is lost when the process ends. */
export class MemoryBroker {
  /** Reply inboxes, by address. */
  readonly inboxes = new Map<string, ReplyInboxSink>()
  readonly #topics = new Map<string, Topic>()

  /** Creates or verifies a topic, as its spec says. Throws CONFLICT or NOT_FOUND. */
  provision(spec: TopicSpec, maxBytes: number): Topic {
    const existing = this.#topics.get(spec.brokerTopic)
    if (existing !== undefined) {
      const { length } = existing.logs
      if (spec.partitions !== undefined && spec.partitions !== length) throw partitionConflict('memory', spec, length)
      return existing
    }
    // A native topic can't exist before it is created here: the broker began empty.
    const isMade = spec.provision === 'create' || (spec.native && spec.groups === 'create')
    if (!isMade) throw topicMissing('memory', spec)
    const topic = new Topic(spec.topic, spec.partitions ?? 1, spec.retention, maxBytes)
    this.#topics.set(spec.brokerTopic, topic)
    return topic
  }

  topic(brokerTopic: string): Topic | undefined {
    return this.#topics.get(brokerTopic)
  }

  delete(brokerTopic: string): void {
    this.#topics.delete(brokerTopic)
  }

  /** All topics, by their names on the broker. */
  get topics(): ReadonlyMap<string, Topic> {
    return this.#topics
  }

  /** Topic names on the broker, with their partition counts. */
  list(): [string, number][] {
    return [...this.#topics].map(([name, topic]) => [name, topic.logs.length])
  }
}

/** Brokers by name, one set per process, also when this package is loaded twice. */
const BROKERS = Symbol.for('streamswitch.memory.brokers')

/** Returns the broker of a name; creates it if it is new. */
export function memoryBroker(name: string): MemoryBroker {
  const holder = globalThis as { [BROKERS]?: Map<string, MemoryBroker> }
  holder[BROKERS] ??= new Map()
  let broker = holder[BROKERS].get(name)
  if (broker === undefined) {
    broker = new MemoryBroker()
    holder[BROKERS].set(name, broker)
  }
  return broker
}

/** Removes a broker with everything in it: the next transport of this name starts with an empty one. */
export function forgetBroker(name: string): void {
  ;(globalThis as { [BROKERS]?: Map<string, MemoryBroker> })[BROKERS]?.delete(name)
}
