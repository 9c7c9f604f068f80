import { isUtf8 } from 'node:buffer'
import { type Headers, WIRE_HEADERS } from '@streamswitch/core/driver'
import type { Message } from 'amqplib'
import { ContentHeader, contentOf, type HeaderEntry, tagOf } from './content-header.js'
import { propertyBytes } from './exact-frames.js'

/** Holds the user's headers whose names can't stand by themselves, as a JSON list of pairs. */
export const OTHER_HEADERS = 'streamswitch-headers'
/** What the broker adds itself. */
export const BROKER_HEADERS: ReadonlySet<string> = new Set(['x-delivery-count', 'x-acquired-count'])
const OWN_HEADERS: ReadonlySet<string> = new Set([...Object.values(WIRE_HEADERS), OTHER_HEADERS])
const NO_HEADERS: Headers = Object.freeze({})

/** What a message's headers say, as texts: texts, numbers and truth values. Anything else, and names and texts that are no UTF-8, are in `native` only. */
export function textsOf(message: Message): Headers {
  const headers = message.properties.headers as Readonly<Record<string, unknown>> | undefined
  if (headers === undefined) return NO_HEADERS
  const result: Record<string, string> = {}
  let exact: ReadonlyMap<string, HeaderEntry> | undefined
  for (const name of Object.keys(headers)) {
    if (OWN_HEADERS.has(name) || BROKER_HEADERS.has(name)) continue
    let text = textOf(headers[name])
    if (text === undefined) continue
    if (mayBeInexact(headers[name]) || name.includes('\ufffd')) {
      exact ??= headersByName(contentHeaderOf(message))
      text = exactText(exact.get(name), text)
    }
    if (text !== undefined) result[name] = text
  }
  const others = headers[OTHER_HEADERS]
  if (typeof others === 'string') addOthers(result, others)
  return result
}

/** A header's value as amqplib gives it, where it has a text. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
}

/** The id that a sender gave a message, of which different ones that are no UTF-8 must not be taken for one. */
export function sentId(message: Message): string | Buffer | undefined {
  const { messageId, headers } = message.properties
  const header: unknown = headers?.[WIRE_HEADERS.id]
  if (typeof messageId === 'string' && messageId !== '')
    return messageId.includes('\ufffd') ? (contentHeaderOf(message)?.bytes('message-id') ?? messageId) : messageId
  return typeof header === 'string' ? header : undefined
}

/** Returns the properties with everything that amqplib's values lose; `undefined` when their bytes were not kept. */
export function contentHeaderOf(message: Message): ContentHeader | undefined {
  const bytes = propertyBytes(message)
  return bytes === undefined ? undefined : ContentHeader.read(bytes)
}

/** The header of a name. */
export function findHeader({ headers = [] }: ContentHeader, name: string): HeaderEntry | undefined {
  return headers.find((entry) => entry.name.toString() === name)
}

function mayBeInexact(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\ufffd')
  return typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)
}

/** Found by name, for messages of many headers. Of several of one name the first one counts, as in {@link findHeader}. */
function headersByName(header: ContentHeader | undefined): ReadonlyMap<string, HeaderEntry> {
  return new Map(header?.headers?.toReversed().map((entry) => [entry.name.toString(), entry]))
}

function exactText(entry: HeaderEntry | undefined, text: string): string | undefined {
  if (entry === undefined) return text
  if (!isUtf8(entry.name)) return undefined
  const content = contentOf(entry)
  if (tagOf(entry) === 'l') return String(content.readBigInt64BE())
  return tagOf(entry) === 'S' && !isUtf8(content) ? undefined : text
}

function addOthers(result: Record<string, string>, text: string): void {
  try {
    const pairs = JSON.parse(text) as readonly (readonly [string, string])[]
    // Assigning to `__proto__` would set no header.
    for (const [name, value] of pairs)
      Object.defineProperty(result, name, {
        value: String(value),
        enumerable: true,
        configurable: true,
        writable: true,
      })
  } catch {
    // Not ours, whatever it is: it stays in `native`.
  }
}
