import type { GroupNames, TopicSpec } from '../contract/adapter.js'
import { requirePortableName } from '../names.js'
import { derivedDeadLetterTopic } from '../native-names/escape.js'
import type { Transport } from '../transport/transport.js'
import { DEAD_LETTER_GROUP } from './dead-letter-group.js'

/** Returns the default dead-letter topic of a group: `orders.billing.dlq`. */
export function deadLetterTopic(topic: string, group: string): string {
  return `${topic}.${group}.dlq`
}

/** The topic that holds the dead letters of a topic and group. */
export interface DeadLetterTarget {
  readonly name: string
  /**
   * Topic or group have a native name. The dead-letter topic is named after both as the broker calls them, so that all
   * services that share them share their dead letters: it has no prefix, and need not be portable.
   */
  readonly derived: boolean
}

export function deadLetterTarget(topic: TopicSpec, group: GroupNames, fixed: string | undefined): DeadLetterTarget {
  if (fixed !== undefined) return { name: fixed, derived: false }
  if (!topic.native && !group.nativeGroup) return { name: deadLetterTopic(topic.topic, group.group), derived: false }
  return { name: derivedDeadLetterTopic(topic.derivedName, group.derivedGroup), derived: true }
}

/** Throws INVALID_ARGUMENT when a topic name of ours would not be portable. */
export function requireTarget({ name, derived }: DeadLetterTarget, transport: string): void {
  if (!derived) requirePortableName("the dead-letter topic (set deadLetter: { topic: '…' })", name, transport)
}

/** @param keeper - the transport that holds the dead letters. */
export function deadLetterSpec(keeper: Transport, { name, derived }: DeadLetterTarget): TopicSpec {
  return derived ? keeper.derivedTopicSpec(name, 'dead-letters') : keeper.topicSpec(name, { role: 'dead-letters' })
}

/** Returns the group that reads it: without prefix if the topic has none, so that all readers see the same state. */
export function readingGroup(keeper: Transport, { derived }: DeadLetterTarget): GroupNames {
  return derived ? keeper.derivedGroupNames(DEAD_LETTER_GROUP) : keeper.groupNames(DEAD_LETTER_GROUP)
}
