import { isUtf8 } from 'node:buffer'
import { MAX_KEY_BYTES, type NativeForm, RESERVED_PREFIX, WIRE_HEADERS } from '@streamswitch/core/driver'
import type { Message } from 'amqplib'
import { type ContentHeader, contentOf, type PropertyName, tagOf } from './content-header.js'
import { routingKeyBytes } from './exact-frames.js'
import { BROKER_HEADERS, contentHeaderOf, findHeader, textsOf } from './header-texts.js'

/** What the portable message has no place for. `delivery-mode` isn't named: every transport stores what it takes. */
const BEYOND: readonly PropertyName[] = [
  'content-type',
  'content-encoding',
  'priority',
  'correlation-id',
  'reply-to',
  'expiration',
  'type',
  'user-id',
  'app-id',
  'cluster-id',
]
/** Set by this package as well, so that they are none of a foreign sender's on what it wrote. */
const OURS: ReadonlySet<PropertyName> = new Set(['content-type', 'correlation-id', 'reply-to'])

const TYPES: Readonly<Record<string, string>> = {
  A: 'list',
  F: 'table',
  T: 'timestamp',
  D: 'decimal',
  V: 'void',
}

/** Messages have properties, and headers of types: lists, tables, bytes, times, decimals, widths of numbers. */
export const AMQP_FORM: NativeForm = {
  format: 'amqp',
  beyondPortable(native) {
    const message = native as Message
    const header = readHeader(message)
    if (header === undefined) return []
    const isOurs = message.properties.headers?.[WIRE_HEADERS.timestamp] !== undefined
    const lost: string[] = []
    const key = nativeKeys(message, header)[0]
    if (key !== undefined && (!isUtf8(key.bytes) || key.bytes.length > MAX_KEY_BYTES)) lost.push('key bytes')
    for (const name of BEYOND) if (header.has(name) && !(isOurs && OURS.has(name))) lost.push(`property '${name}'`)
    const texts = textsOf(message)
    for (const entry of header.headers ?? []) {
      const name = entry.name.toString()
      if (name.startsWith(RESERVED_PREFIX) || BROKER_HEADERS.has(name) || Object.hasOwn(texts, name)) continue
      lost.push(`header '${name}' (${TYPES[tagOf(entry)] ?? 'bytes'})`)
    }
    return lost
  },
}

/** The keys that a message may be known by, first the one that counts. */
export function nativeKeys(
  message: Message,
  header: ContentHeader,
): { readonly text: string; readonly bytes: Buffer }[] {
  const entry = findHeader(header, WIRE_HEADERS.key)
  const own = entry !== undefined && ['S', 'x'].includes(tagOf(entry)) ? [contentOf(entry)] : []
  return [...own, routingKeyBytes(message)].map((bytes) => ({ text: bytes.toString(), bytes }))
}

function readHeader(message: Message): ContentHeader | undefined {
  try {
    return contentHeaderOf(message)
  } catch {
    return undefined
  }
}
