import type { GroupNames, TopicSpec } from '../contract/adapter.js'
import { requirePortableName } from '../names.js'
import { derivedDeadLetterTopic } from '../native-names/escape.js'
import type { Transport } from '../transport/transport.js'
import { DEAD_LETTER_GROUP } from './dead-letter-group.js'

/** The topic that takes a group's dead letters unless it names another: `orders.billing.dlq`. */
export function deadLetterTopic(topic: string, group: string): string {
  return `${topic}.${group}.dlq`
}

/** Where dead letters of a topic and group are. */
export interface DeadLetterTarget {
  readonly name: string
  /**
   * One of them has a native name. The topic is named after the two as the broker calls them, whatever a service calls them, so that all
   * that share them share their dead letters: it has no prefix, and need not be portable.
   */
  readonly derived: boolean
}

export function deadLetterTarget(topic: TopicSpec, group: GroupNames, fixed: string | undefined): DeadLetterTarget {
  if (fixed !== undefined) return { name: fixed, derived: false }
  if (!topic.native && !group.nativeGroup) return { name: deadLetterTopic(topic.topic, group.group), derived: false }
  return { name: derivedDeadLetterTopic(topic.derivedName, group.derivedGroup), derived: true }
}

/** Throws INVALID_ARGUMENT where a topic of our own naming would not be portable. */
export function requireTarget({ name, derived }: DeadLetterTarget, transport: string): void {
  if (!derived) requirePortableName("the dead-letter topic (set deadLetter: { topic: '…' })", name, transport)
}

/** @param keeper - what holds the dead letters. */
export function deadLetterSpec(keeper: Transport, { name, derived }: DeadLetterTarget): TopicSpec {
  return derived ? keeper.derivedTopicSpec(name, 'dead-letters') : keeper.topicSpec(name, { role: 'dead-letters' })
}

/** The group that reads it: without prefix where the topic has none, so that all who read it see what is left. */
export function readingGroup(keeper: Transport, { derived }: DeadLetterTarget): GroupNames {
  return derived ? keeper.derivedGroupNames(DEAD_LETTER_GROUP) : keeper.groupNames(DEAD_LETTER_GROUP)
}
