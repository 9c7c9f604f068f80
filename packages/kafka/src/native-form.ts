import { isUtf8 } from 'node:buffer'
import { keepsNativeHeader, MAX_KEY_BYTES, type NativeForm, type OutgoingRecord } from '@streamswitch/core/driver'
import type { KafkaMessage } from 'kafkajs'
import { ByteReader } from './byte-reader.js'
import { ReceivedRecord } from './received-record.js'
import { textsOf } from './record-texts.js'

/** A header as a record has it: names may repeat, values may be bytes or null. */
type NativeHeader = readonly [name: Buffer, value: Buffer | null]

/** What a record that is passed on takes from the received one. */
export interface NativeFields {
  readonly key: Buffer | null
  /** In their order; `undefined`: the headers are the record's own alone. */
  readonly headers: readonly NativeHeader[] | undefined
  /** Names of the record's own headers that `headers` has already. */
  readonly kept: ReadonlySet<string>
}

/** Kafka's records hold bytes as keys and header values, null values, and headers of the same name. */
export const KAFKA_FORM: NativeForm = {
  format: 'kafka',
  beyondPortable(native) {
    const message = native as KafkaMessage
    const lost: string[] = []
    const key = message.key
    if (key && (!isUtf8(key) || key.length > MAX_KEY_BYTES)) lost.push('key bytes')
    const seen = new Set<string>()
    for (const [name, value] of headersOf(message)) {
      const text = name.toString()
      if (!isUtf8(name)) lost.push(`header '${text}' (name)`)
      else if (value === null) lost.push(`header '${text}' (null)`)
      else if (!isUtf8(value)) lost.push(`header '${text}' (bytes)`)
      else if (seen.has(text)) lost.push(`header '${text}' (repeated)`)
      seen.add(text)
    }
    return [...new Set(lost)]
  },
}

const NONE: ReadonlySet<string> = new Set()

/** What of its original a record is written from; `undefined` for a record that is no received one. */
export function nativeFieldsOf({ original, headers }: OutgoingRecord): NativeFields | undefined {
  if (original === undefined) return undefined
  const message = original.native as KafkaMessage
  const key = message.key ?? null
  if (original.part === 'key') return { key, headers: undefined, kept: NONE }
  const { headers: texts } = textsOf(message)
  const kept = new Set<string>()
  const native = headersOf(message).filter(([bytes]) => {
    const name = bytes.toString()
    // A name that is no text is none of the record's.
    if (!isUtf8(bytes)) return true
    if (!keepsNativeHeader(name, Object.hasOwn(texts, name) ? texts[name] : undefined, headers)) return false
    kept.add(name)
    return true
  })
  return { key, headers: native, kept }
}

/** The key by which a record's partition is chosen: the original's bytes where it is passed on. */
export function keyOf({ key, original }: OutgoingRecord): string | Buffer | undefined {
  if (original === undefined) return key
  return (original.native as KafkaMessage).key ?? undefined
}

function headersOf(message: KafkaMessage): NativeHeader[] {
  if (message instanceof ReceivedRecord) return headersIn(message)
  return Object.entries(message.headers ?? {}).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map(
      (one): NativeHeader => [Buffer.from(name), one === undefined || one === null ? null : Buffer.from(one)],
    ),
  )
}

function headersIn({ source, headersAt }: ReceivedRecord): NativeHeader[] {
  const reader = new ByteReader(source, headersAt)
  const headers: NativeHeader[] = []
  for (let count = reader.varint(); count > 0; count -= 1)
    headers.push([reader.nullableBytes() ?? Buffer.alloc(0), reader.nullableBytes()])
  return headers
}
