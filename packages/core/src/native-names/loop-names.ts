import type { GroupNames, TopicSpec } from '../contract/adapter.js'
import { StreamError } from '../errors.js'
import { isPortableName } from '../names.js'
import type { Transport } from '../transport/transport.js'
import type { TopicSettings } from './transport-names.js'

/** The names of one loop's topics and group on the broker. */
export class LoopNames {
  readonly topics: readonly TopicSpec[]
  readonly group: GroupNames
  readonly #transport: Transport
  readonly #found = new Map<string, TopicSpec>()

  /**
   * Throws as `Transport.topicSpec` does; INVALID_ARGUMENT for `nativeName` unless there is exactly one topic, and for
   * two topics that are the same on the broker.
   *
   * @param topics - those that the loop names; none with a pattern.
   * @param opener - the loop, for errors of others.
   */
  constructor(
    transport: Transport,
    topics: readonly string[],
    group: string,
    { nativeGroup, nativeName, partitions, retention }: TopicSettings & { readonly nativeGroup?: string | undefined },
    opener: string,
  ) {
    this.#transport = transport
    if (nativeName !== undefined && topics.length !== 1)
      throw this.#invalid(
        `nativeName: can only be set for a loop with one topic; set native names of other topics in the transport's topics`,
      )
    this.topics = topics.map((topic) => transport.topicSpec(topic, { partitions, retention, nativeName }, opener))
    this.group = transport.groupNames(group, nativeGroup)
    for (const spec of this.topics) {
      const twin = this.#found.get(spec.brokerTopic)
      if (twin !== undefined && twin.topic !== spec.topic)
        throw this.#invalid(
          `topics '${twin.topic}' and '${spec.topic}' are the same on the broker, '${spec.brokerTopic}'`,
        )
      this.#found.set(spec.brokerTopic, spec)
    }
    this.#found.clear()
    for (const spec of this.topics) this.#found.set(spec.topic, spec)
  }

  /** Returns the spec of a topic that the loop names, or that its pattern has found. */
  topic(topic: string): TopicSpec {
    let spec = this.#found.get(topic)
    if (spec === undefined) {
      spec = this.#transport.topicSpec(topic)
      this.#found.set(topic, spec)
    }
    return spec
  }

  /** Returns the name of a topic in ids. Never throws: messages may be the user's own. */
  originOf(topic: string): string {
    return this.#found.get(topic)?.origin ?? (isPortableName(topic) ? this.topic(topic).origin : topic)
  }

  #invalid(message: string): StreamError {
    return new StreamError(message, {
      code: 'INVALID_ARGUMENT',
      transport: this.#transport.name,
      operation: 'configure',
    })
  }
}
