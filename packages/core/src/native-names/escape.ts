import { createHash } from 'node:crypto'

/** Longest derived name of a topic or group, in characters: as long as a prefix and a portable name may be. */
const MAX_DERIVED = 150
/** Longest name of a dead-letter topic that is made of derived names, in characters: a broker's limit is 249, and queues are named after it. */
const MAX_DEAD_LETTER = 150
/** Characters of a digest in a name that would be too long: 128 bits. */
const DIGEST = 32

/**
 * What everything that belongs to a topic or group is named after, from its name on the broker. Injective, and safe on every broker:
 * `A-Z a-z 0-9 . _ -`, at most 150 characters. Prefix and portable name stay as they are.
 *
 * - A name of these characters stays as it is: `OrderEvents`, `orders.eu`.
 * - Anything else stands as its UTF-8 bytes, each as `_X` and two hexadecimal digits: `app:orders` is `app_X3Aorders`. So do a `_`
 *   before an `X` (what looks escaped is escaped), the first letter of `amq.…`, which RabbitMQ reserves, and the dots of `.` and `..`.
 * - What would be longer is cut and ends in `_XH` and a digest of the whole name.
 *
 * No portable name has an upper-case letter, so that none equals one that was escaped.
 */
export function escapeName(name: string): string {
  return bounded(encode(name), name, MAX_DERIVED, '')
}

/** The dead-letter topic of a native topic or group, from their derived names. */
export function derivedDeadLetterTopic(topic: string, group: string): string {
  const name = `${topic}.${group}`
  return bounded(name, name, MAX_DEAD_LETTER - SUFFIX.length, SUFFIX)
}

const SUFFIX = '.dlq'

function encode(name: string): string {
  const onlyDots = name === '.' || name === '..'
  let text = ''
  let at = 0
  for (const char of name) {
    const reserved = (at === 0 && name.startsWith('amq.')) || (char === '_' && name[at + 1] === 'X') || onlyDots
    text += !reserved && /^[A-Za-z0-9._-]$/.test(char) ? char : escaped(char)
    at += char.length
  }
  return text
}

function escaped(char: string): string {
  return [...Buffer.from(char)].map((byte) => `_X${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')
}

function bounded(text: string, whole: string, limit: number, suffix: string): string {
  if (text.length <= limit) return text + suffix
  const digest = createHash('sha256').update(whole).digest('hex').slice(0, DIGEST)
  const mark = `_XH${digest}`
  return `${text.slice(0, limit - mark.length)}${mark}${suffix}`
}
