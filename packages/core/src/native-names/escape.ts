import { createHash } from 'node:crypto'

/** Maximum length of the derived name of a topic or group, in characters: that of a prefix with a portable name. */
const MAX_DERIVED = 150
/**
 * Maximum length of the name of a dead-letter topic built from derived names, in characters: a broker's limit is 249,
 * and queues are named after it.
 */
const MAX_DEAD_LETTER = 150
/** Characters of a digest in a name that would be too long: 128 bits. */
const DIGEST = 32

/**
 * Returns the base for the names of everything that belongs to a topic or group, from its name on the broker.
 * Injective, and safe on every broker: `A-Z a-z 0-9 . _ -`, at most 150 characters. Prefix and portable name are
 * unchanged.
 *
 * - A name of these characters is unchanged: `OrderEvents`, `orders.eu`.
 * - Anything else is encoded by its UTF-8 bytes, each as `_X` and two hexadecimal digits: `app:orders` is
 *   `app_X3Aorders`. So are a `_` before an `X` (so that escaped names are unambiguous), the first letter of `amq.…`,
 *   which RabbitMQ reserves, and the dots of `.` and `..`.
 * - A longer result is cut and ends in `_XH` and a digest of the whole name.
 * No portable name has an upper-case letter, so none equals an escaped one.
 */
export function escapeName(name: string): string {
  return bounded(encode(name), name, MAX_DERIVED, '')
}

/** Returns the dead-letter topic of a native topic or group, from their derived names. */
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
