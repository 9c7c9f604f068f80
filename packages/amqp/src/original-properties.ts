import {
  arrivedKey,
  arrivedTimestamp,
  keepsNativeHeader,
  type OriginalRecord,
  type OutgoingRecord,
  WIRE_HEADERS,
} from '@streamswitch/core/driver'
import type { Message, Options } from 'amqplib'
import { ContentHeader, type HeaderEntry, plainValue, textHeader } from './content-header.js'
import { BROKER_HEADERS, contentHeaderOf, findHeader, textsOf } from './header-texts.js'
import { messageIdOf, propertyMilliseconds } from './message.js'
import { nativeKeys } from './native-form.js'

/**
 * On a dead letter: what the original had and the broker would act upon again, as a JSON object. Routing, expiry and the broker's counters were
 * meant for one delivery; a user id that isn't the publisher's own is refused.
 */
const SET_ASIDE_HEADER = 'streamswitch-set-aside'
/** Maximum size of such a header, in bytes: a larger value is named with its size only. */
const MAX_SET_ASIDE_BYTES = 4_096
const SET_ASIDE_PROPERTIES = ['user-id', 'expiration', 'reply-to'] as const
const SET_ASIDE_HEADERS: ReadonlySet<string> = new Set(['CC', 'BCC', 'x-death', ...BROKER_HEADERS])
const PERSISTENT = 2

/**
 * The properties of a record that is passed on, as bytes.
 *
 * @param own - what this package would write of the record.
 * @param setsAside - keeps what isn't acted upon again in a header.
 */
export function encodeOriginal(
  record: OutgoingRecord,
  { native, part }: OriginalRecord,
  own: Options.Publish,
  setsAside: boolean,
): Buffer {
  const message = native as Message
  const received = contentHeaderOf(message) ?? new ContentHeader()
  const ownHeaders: Record<string, string> = { ...own.headers }
  const header = part === 'key' ? ownProperties(own) : received
  let kept: readonly HeaderEntry[] = []
  if (part === 'message') {
    kept = keptHeaders(message, received, record)
    for (const { name } of kept) delete ownHeaders[name.toString()]
    if (setsAside) addSetAside(ownHeaders, received)
    for (const name of SET_ASIDE_PROPERTIES) received.delete(name)
    received.setOctet('delivery-mode', PERSISTENT)
    setId(received, message, record, own, ownHeaders)
    setTimestamp(received, message, record)
  }
  const key = nativeKeys(message, received).find(({ text }) => arrivedKey(text) === record.key)?.bytes
  const added = Object.entries(ownHeaders).map(([name, text]) =>
    textHeader(name, name === WIRE_HEADERS.key && key !== undefined ? key : text),
  )
  header.headers = [...kept, ...added]
  return header.encode()
}

function keptHeaders(message: Message, { headers = [] }: ContentHeader, record: OutgoingRecord): HeaderEntry[] {
  const texts = textsOf(message)
  return headers.filter((entry) => {
    const name = entry.name.toString()
    if (SET_ASIDE_HEADERS.has(name)) return false
    return keepsNativeHeader(name, Object.hasOwn(texts, name) ? texts[name] : undefined, record.headers)
  })
}

/** A message without an id keeps having none among its properties: its generated id is sent in a header. */
function setId(
  header: ContentHeader,
  message: Message,
  record: OutgoingRecord,
  own: Options.Publish,
  headers: Record<string, string>,
): void {
  const isKept = (header.text('message-id') ?? '') === ''
  if (!isKept && messageIdOf(message) === record.id) return
  if (!isKept && own.messageId !== undefined) return header.setText('message-id', own.messageId)
  if (!isKept) header.delete('message-id')
  headers[WIRE_HEADERS.id] = record.id
}

/** The timestamp is sent in a header, in milliseconds. The property is unchanged unless it has another time. */
function setTimestamp(header: ContentHeader, message: Message, record: OutgoingRecord): void {
  const said = propertyMilliseconds(message)
  if (said === undefined) return
  if (arrivedTimestamp(message.properties.headers?.[WIRE_HEADERS.timestamp], said) === record.timestamp) return
  header.setTimestamp(Math.floor(Math.max(0, record.timestamp) / 1_000))
}

function addSetAside(target: Record<string, string>, header: ContentHeader): void {
  const aside: [string, unknown][] = []
  for (const name of SET_ASIDE_PROPERTIES) {
    // The address of a request of ours is sent in a header as well, and is useless later.
    const isOurs = name === 'reply-to' && findHeader(header, WIRE_HEADERS.replyTo) !== undefined
    if (header.has(name) && !isOurs) aside.push([name, header.text(name)])
  }
  const mode = header.octet('delivery-mode')
  if (mode !== undefined && mode !== PERSISTENT) aside.push(['delivery-mode', mode])
  for (const name of SET_ASIDE_HEADERS) {
    const entry = findHeader(header, name)
    if (entry !== undefined) aside.push([name, plainValue(entry.value)])
  }
  const earlier = earlierSetAside(target[SET_ASIDE_HEADER])
  if (aside.length > 0) target[SET_ASIDE_HEADER] = boundedJson([...earlier, ...aside])
}

/** What a message that was replayed had before. */
function earlierSetAside(text: string | undefined): [string, unknown][] {
  try {
    const value: unknown = JSON.parse(text ?? '{}')
    return typeof value === 'object' && value !== null ? Object.entries(value) : []
  } catch {
    return []
  }
}

function boundedJson(entries: readonly (readonly [string, unknown])[]): string {
  const json: Record<string, unknown> = {}
  let bytes = 0
  for (const [name, value] of entries) {
    const size = Buffer.byteLength(JSON.stringify(value))
    const fits = bytes + size <= MAX_SET_ASIDE_BYTES
    json[name] = fits ? value : `${size} bytes`
    if (fits) bytes += size
  }
  return JSON.stringify(json).toWellFormed()
}

function ownProperties({ contentType, correlationId, replyTo, messageId, timestamp }: Options.Publish): ContentHeader {
  const header = new ContentHeader()
  header.setOctet('delivery-mode', PERSISTENT)
  if (contentType !== undefined) header.setText('content-type', contentType)
  if (correlationId !== undefined) header.setText('correlation-id', correlationId)
  if (replyTo !== undefined) header.setText('reply-to', replyTo)
  if (messageId !== undefined) header.setText('message-id', messageId)
  if (timestamp !== undefined) header.setTimestamp(timestamp)
  return header
}
