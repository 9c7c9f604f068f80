import type { OutgoingRecord } from '@streamswitch/core/driver'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { decodeMetadata, encodeMetadata } from '../src/commit-metadata.js'
import type { FetchedBatch } from '../src/kafkajs-internals.js'
import { toDelivery } from '../src/message.js'
import { plainRecord, ReceivedRecord } from '../src/received-record.js'
import { encodeRecords, NativeRecord } from '../src/record-batch.js'

const assignment = { topic: 'orders', partition: 0, epoch: 1 }
const anything = fc.option(
  fc.oneof(
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.string(),
  ),
  { nil: undefined },
)
const name = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'streamswitch-id', 'streamswitch-timestamp'),
  fc.string(),
)

it('a foreign record, whatever its headers are, becomes a delivery of texts', () => {
  const headers = fc.dictionary(name, fc.oneof(anything, fc.array(anything)))
  const record = fc.record({
    key: anything,
    value: anything,
    headers,
    timestamp: fc.oneof(fc.string(), fc.bigInt().map(String)),
  })
  fc.assert(
    fc.property(record, (native) => {
      const delivery = toDelivery({ ...native, offset: '1' } as never, 1, assignment, {
        priorAttempts: 0,
        wasAtWork: false,
        suspect: false,
      })
      for (const value of Object.values(delivery.headers)) expect(typeof value).toBe('string')
      expect(typeof delivery.id).toBe('string')
      expect(Number.isNaN(delivery.timestamp)).toBe(false)
      expect(Object.getPrototypeOf(delivery.headers)).toBe(Object.prototype)
    }),
  )
})

it('a record is read from the bytes of a response as it is from the fields that kafkajs makes of them', () => {
  const text = fc.oneof(
    fc.constantFrom('__proto__', 'streamswitch-id', 'streamswitch-timestamp', 'streamswitch-reply-to', 'trace'),
    fc.string({ unit: 'grapheme' }),
  )
  const value = fc.option(
    fc.oneof(
      fc.uint8Array(),
      fc.string({ unit: 'grapheme' }).map((one) => Buffer.from(one)),
    ),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(text, value), { maxLength: 8 }), (headers) => {
      const source = headerBytes(headers)
      const batch = { magicByte: 2, isControlBatch: false } as FetchedBatch
      const record = new ReceivedRecord(batch, 0, 7, 1_700_000_000_000, null, Buffer.from('x'), source, 0)
      const read = (message: unknown) => {
        const history = { priorAttempts: 0, wasAtWork: false, suspect: false }
        const { id, replyTo, timestamp, headers: texts } = toDelivery(message as never, 7, assignment, history)
        return { id, replyTo, timestamp: Math.abs(timestamp - Date.now()) < 60_000 ? 'now' : timestamp, headers: texts }
      }
      expect(read(record)).toEqual(read(plainRecord(record)))
    }),
  )
})

it('records with binary ids are told apart, and each is recognised when it comes again', () => {
  const batch = { magicByte: 2, isControlBatch: false } as FetchedBatch
  const idOf = (hex: string, plain: boolean): string => {
    const source = headerBytes([['streamswitch-id', Buffer.from(hex, 'hex')]])
    const record = new ReceivedRecord(batch, 0, 7, 1, null, Buffer.from('x'), source, 0)
    const history = { priorAttempts: 0, wasAtWork: false, suspect: false }
    return toDelivery((plain ? plainRecord(record) : record) as never, 7, assignment, history).id
  }
  for (const plain of [false, true]) {
    expect(idOf('ff', plain)).toMatch(/^sha256-[0-9a-f]{64}$/)
    expect(idOf('ff', plain)).not.toBe(idOf('fe', plain))
    expect(idOf('92345678', plain)).toBe(idOf('92345678', !plain))
  }
})

/** Headers as they stand in a record of format 2: all lengths as zigzag varints. */
function headerBytes(headers: readonly (readonly [string, Uint8Array | null])[]): Buffer {
  const varint = (value: number): Buffer => {
    const bytes: number[] = []
    let rest = value < 0 ? -value * 2 - 1 : value * 2
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80)
    return Buffer.from([...bytes, rest])
  }
  const sized = (bytes: Uint8Array | null): Buffer[] =>
    bytes === null ? [varint(-1)] : [varint(bytes.length), Buffer.from(bytes)]
  return Buffer.concat([
    varint(headers.length),
    ...headers.flatMap(([name, value]) => [...sized(Buffer.from(name)), ...sized(value)]),
  ])
}

it('a record of any shape is encoded in as many bytes as were planned', () => {
  const record = fc.record({
    id: fc.string({ unit: 'grapheme', minLength: 1 }),
    key: fc.option(fc.string({ unit: 'grapheme' }), { nil: undefined }),
    payload: fc.option(
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      { nil: undefined },
    ),
    headers: fc.option(fc.dictionary(name, fc.string({ unit: 'grapheme' })), { nil: undefined }),
    timestamp: fc.integer({ min: 0, max: 8_640_000_000_000_000 }),
  })
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 5 }), (records) => {
      const natives = records.map((one) => new NativeRecord(one as OutgoingRecord, 0, 0))
      expect(() => encodeRecords(natives, 0)).not.toThrow()
    }),
  )
})

it("commit metadata is read back, and anybody else's is none of ours", () => {
  const attempts = fc.uniqueArray(fc.tuple(fc.integer({ min: 100, max: 200 }), fc.integer({ min: 1, max: 50 })), {
    selector: ([offset]) => offset,
  })
  fc.assert(
    fc.property(attempts, fc.boolean(), fc.integer({ min: 100, max: 10_000 }), (list, clean, deliveredBelow) => {
      const metadata = { owner: 'abc', deliveredBelow, clean, attempts: new Map(list) }
      const read = decodeMetadata(100, encodeMetadata(100, metadata), 'orders')
      expect(read).toEqual({ ...metadata, attempts: new Map([...list].sort(([left], [right]) => left - right)) })
    }),
  )
  fc.assert(
    fc.property(
      fc.string().filter((text) => !text.startsWith('streamswitch/')),
      (text) => {
        expect(decodeMetadata(0, text, 'orders')).toBeUndefined()
      },
    ),
  )
})
