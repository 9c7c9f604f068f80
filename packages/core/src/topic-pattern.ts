import { StreamError } from './errors.js'

/** Which topics a loop receives, by their names, also those that are made later. */
export interface TopicPattern {
  /**
   * `*` stands for any characters, dots included, or none; everything else for itself: `orders.*` takes `orders.eu` and
   * `orders.eu.new`, not `orders`. At most 100 characters of `a-z 0-9 . _ - *`.
   */
  readonly pattern: string
}

/** What a loop may be made for: one topic, a list of them, or a pattern. */
export type TopicSelection = string | readonly string[] | TopicPattern

const PATTERN = /^[a-z0-9._*-]{1,100}$/
/** What core and adapters name topics of their own by: dead letters end so, replies begin so. */
const INTERNAL = /^streamswitch-|\.dlq$/

/** A pattern for `transport.consumer`. Throws INVALID_ARGUMENT for characters that no portable topic has. */
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

/** True for topics of Streamswitch itself: no pattern takes them. */
export function isInternalTopic(topic: string): boolean {
  return INTERNAL.test(topic)
}

/** Whether a pattern takes a name. In time proportional to both lengths, whatever the pattern. */
export function matchesPattern(pattern: string, name: string): boolean {
  let at = 0
  let position = 0
  /** Where to go on when what follows the last star doesn't fit: behind the star, with one more character given to it. */
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
