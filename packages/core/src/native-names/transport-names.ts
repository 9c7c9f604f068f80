import type { AdapterDefinition, GroupNames, NativeNameRules, Provision, TopicSpec } from '../contract/adapter.js'
import { StreamError } from '../errors.js'
import { requirePortableName } from '../names.js'
import { escapeName } from './escape.js'
import { type NameMap, nativeNameProblem } from './name-map.js'

/** What names on a transport depend on. */
export interface NameSettings {
  readonly adapter: AdapterDefinition
  readonly prefix: string
  /** `undefined`: nothing was said. */
  readonly provision: Provision | undefined
  readonly topics: NameMap
  readonly groups: NameMap
}

/** What is said of a topic besides its name. */
export interface TopicSettings {
  readonly partitions?: number | undefined
  readonly retention?: TopicSpec['retention'] | undefined
  readonly role?: TopicSpec['role'] | undefined
  /** What the topic is called on the broker, in place of what the transport's `topics` say. */
  readonly nativeName?: string | undefined
}

/** What the topics and groups of one transport are called on the broker: the one place where prefix and native names are applied. */
export class TransportNames {
  readonly #settings: NameSettings

  constructor(settings: NameSettings) {
    this.#settings = settings
  }

  /** Throws INVALID_ARGUMENT for a name that isn't portable, or a native name that the broker can't hold; UNSUPPORTED where it has no native names. */
  topic(topic: string, settings: TopicSettings): TopicSpec {
    const { adapter, prefix, provision, topics } = this.#settings
    requirePortableName('topic', topic, adapter.name)
    const native = settings.nativeName ?? topics[topic]?.name
    if (native === undefined) return this.#ownTopic(topic, prefix + topic, settings)
    this.#requireNative('topic', topic, native)
    return {
      ...this.#ownTopic(topic, native, settings),
      // Somebody else's messages are not ours to drop.
      retention: provision === 'create' ? (settings.retention ?? {}) : {},
      origin: native,
      native: true,
      prefixed: false,
      // What exists is somebody's: it is made only where that was asked for.
      provision: provision ?? 'verify',
      groups: provision ?? 'create',
    }
  }

  /** A topic of Streamswitch's own that belongs to a native one: its name is derived already, and has no prefix. */
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
      throw error('UNSUPPORTED', `${what} '${portable}' can't have a native name: the ${name} transport has none`)
    const problem = nativeNameProblem(native) ?? nativeNames[what](native as string)
    if (problem === undefined) return
    const shown = typeof native === 'string' ? JSON.stringify(native.slice(0, 300)) : typeof native
    throw error('INVALID_ARGUMENT', `the native name of ${what} '${portable}' ${problem}; got ${shown}`)
  }
}
