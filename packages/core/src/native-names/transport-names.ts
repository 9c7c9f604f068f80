import type { AdapterDefinition, GroupNames, NativeNameRules, Provision, TopicSpec } from '../contract/adapter.js'
import { StreamError } from '../errors.js'
import { requirePortableName } from '../names.js'
import { escapeName } from './escape.js'
import { type NameMap, nativeNameProblem } from './name-map.js'

/** Settings that determine the names on a transport. */
export interface NameSettings {
  readonly adapter: AdapterDefinition
  readonly prefix: string
  /** undefined`: not set. */
  readonly provision: Provision | undefined
  readonly topics: NameMap
  readonly groups: NameMap
}

/** Settings of a topic besides its name. */
export interface TopicSettings {
  readonly partitions?: number | undefined
  readonly retention?: TopicSpec['retention'] | undefined
  readonly role?: TopicSpec['role'] | undefined
  /** Name of the topic on the broker, instead of the one in the transport's `topics`. */
  readonly nativeName?: string | undefined
}

/**
 * The names of one transport's topics and groups on the broker: the only place where prefix and native names are
 * applied.
 */
export class TransportNames {
  readonly #settings: NameSettings

  constructor(settings: NameSettings) {
    this.#settings = settings
  }

  /**
   * Returns the spec of a topic. Throws INVALID_ARGUMENT for a name that isn't portable, or a native name that the
   * broker can't hold; UNSUPPORTED when the broker has no native names.
   */
  topic(topic: string, settings: TopicSettings): TopicSpec {
    const { adapter, prefix, provision, topics } = this.#settings
    requirePortableName('topic', topic, adapter.name)
    const native = settings.nativeName ?? topics[topic]?.name
    if (native === undefined) return this.#ownTopic(topic, prefix + topic, settings)
    this.#requireNative('topic', topic, native)
    return {
      ...this.#ownTopic(topic, native, settings),
      // Messages of other systems are not ours to drop.
      retention: provision === 'create' ? (settings.retention ?? {}) : {},
      origin: native,
      native: true,
      prefixed: false,
      // An existing topic belongs to another system: it is created only on request.
      provision: provision ?? 'verify',
      groups: provision ?? 'create',
    }
  }

  /** A topic of Streamswitch's own that belongs to a native one: its name is already derived, and has no prefix. */
  derivedTopic(name: string, settings: TopicSettings): TopicSpec {
    return { ...this.#ownTopic(name, name, settings), derivedName: name, prefixed: false }
  }

  /** Throws as {@link topic} does. */
  group(group: string, nativeName: string | undefined): GroupNames {
    const { adapter, prefix, groups } = this.#settings
    requirePortableName('group', group, adapter.name)
    const native = nativeName ?? groups[group]?.name
    if (native === undefined) {
      return { ...this.derivedGroup(prefix + group), group, groupOrigin: group }
    }
    this.#requireNative('group', group, native)
    return { group, brokerGroup: native, derivedGroup: escapeName(native), groupOrigin: native, nativeGroup: true }
  }

  /** As {@link derivedTopic}, for a group. */
  derivedGroup(name: string): GroupNames {
    return { group: name, brokerGroup: name, derivedGroup: escapeName(name), groupOrigin: name, nativeGroup: false }
  }

  /** The topics that the map names, by portable names. */
  get mappedTopics(): readonly string[] {
    return Object.keys(this.#settings.topics)
  }

  #ownTopic(topic: string, brokerTopic: string, { partitions, retention, role }: TopicSettings): TopicSpec {
    return {
      topic,
      brokerTopic,
      derivedName: escapeName(brokerTopic),
      origin: topic,
      native: false,
      prefixed: true,
      partitions,
      retention: retention ?? {},
      provision: this.#settings.provision ?? 'create',
      role: role ?? 'topic',
    }
  }

  #requireNative(what: keyof NativeNameRules, portable: string, native: unknown): asserts native is string {
    const { adapter } = this.#settings
    const { name, nativeNames } = adapter
    const error = (code: 'UNSUPPORTED' | 'INVALID_ARGUMENT', message: string): StreamError =>
      new StreamError(message, {
        code,
        transport: name,
        operation: 'configure',
        topic: what === 'topic' ? portable : undefined,
      })
    if (nativeNames === undefined)
      throw error(
        'UNSUPPORTED',
        `${what} '${portable}' can't have a native name: the ${name} transport doesn't support native names`,
      )
    const problem = nativeNameProblem(native) ?? nativeNames[what](native as string)
    if (problem === undefined) return
    const shown = typeof native === 'string' ? JSON.stringify(native.slice(0, 300)) : typeof native
    throw error('INVALID_ARGUMENT', `the native name of ${what} '${portable}' ${problem}; got ${shown}`)
  }
}
