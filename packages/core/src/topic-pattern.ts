import { StreamError } from './errors.js'

/** Selects topics by name, including topics created later. */
export interface TopicPattern {
  /**
   * *` matches any characters, dots included, or none; every other character matches itself: `orders.*` matches
   * `orders.eu` and `orders.eu.new`, not `orders`. At most 100 characters of `a-z 0-9 . _ - *`.
   */
  readonly pattern: string
}

/** What a loop may receive: one topic, a list of them, or a pattern. */
export type TopicSelection = string | readonly string[] | TopicPattern

const PATTERN = /^[a-z0-9._*-]{1,100}$/
/** Names that core and adapters use for their own topics: suffix of dead letters, prefix of replies. */
const INTERNAL = /^streamswitch-|\.dlq$/

/** Creates a pattern for `transport.consumer`. Throws INVALID_ARGUMENT for characters that no portable topic has. */
export function topicPattern(pattern: string): TopicPattern {
  requirePattern(pattern)
  return { pattern }
}

export function isTopicPattern(topic: unknown): topic is TopicPattern {
  return typeof topic === 'object' && topic !== null && !Array.isArray(topic) && 'pattern' in topic
}

export function requirePattern(pattern: unknown, transport?: string): asserts pattern is string {
  if (typeof pattern === 'string' && PATTERN.test(pattern)) return
  const shown = typeof pattern === 'string' ? JSON.stringify(pattern.slice(0, 120)) : typeof pattern
  throw new StreamError(
    `pattern must be 1 to 100 characters of a-z, 0-9, '.', '_', '-' and '*', which stands for any characters; got ${shown}`,
    { code: 'INVALID_ARGUMENT', transport, operation: 'configure' },
  )
}

/** True for topics of Streamswitch itself: no pattern matches them. */
export function isInternalTopic(topic: string): boolean {
  return INTERNAL.test(topic)
}

/** Returns whether a pattern matches a name. In time proportional to both lengths, whatever the pattern. */
export function matchesPattern(pattern: string, name: string): boolean {
  let at = 0
  let position = 0
  /**
   * Where to resume when the characters after the last star don't match: behind the star, which consumes one more
   * character.
   */
  let star = -1
  let resume = 0
  while (position < name.length) {
    if (pattern[at] === '*') {
      star = at
      at += 1
      resume = position
    } else if (pattern[at] === name[position]) {
      at += 1
      position += 1
    } else if (star >= 0) {
      at = star + 1
      resume += 1
      position = resume
    } else return false
  }
  while (pattern[at] === '*') at += 1
  return at === pattern.length
}
