import { isStreamError } from '@streamswitch/core'
import { type FuzzTarget, forwardedRecord, transportSettings, Violation } from '@streamswitch/testkit/fuzz'
import fc, { type Arbitrary } from 'fast-check'
import redis from '../../src/index.js'
import { type RawEntry, readEntries, readReply } from '../../src/message.js'
import { nativeFieldsOf, REDIS_FORM } from '../../src/native-form.js'
import { startId } from '../../src/position.js'

const ASSIGNMENT = { topic: 'orders', partition: 0, epoch: 1 }
const LENGTH_BYTES = 2

/** An entry's id and its fields, as the corpus has them: each with its length before it, in two bytes. What is too short ends the entry. */
function entryOf(bytes: Buffer): RawEntry {
  const parts: Buffer[] = []
  for (let at = 0; at + LENGTH_BYTES <= bytes.length; ) {
    const end = at + LENGTH_BYTES + bytes.readUInt16BE(at)
    parts.push(bytes.subarray(at + LENGTH_BYTES, end))
    at = end
  }
  const [id = Buffer.from('1-1'), ...fields] = parts
  return [/^\d{1,20}-\d{1,20}$/.test(id.toString('latin1')) ? id : Buffer.from('5-1'), fields]
}

const part = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))
const name = fc.oneof(
  fc
    .constantFrom(
      'payload',
      'key',
      'id',
      'timestamp',
      'h.a',
      'h.a',
      'h.__proto__',
      'h.streamswitch-id',
      'h.streamswitch-timestamp',
      'h.streamswitch-reply-to',
      'streamswitch-tombstone',
      '__proto__',
      '0',
    )
    .map((text) => Buffer.from(text)),
  part,
)

const entries: Arbitrary<Uint8Array> = fc.array(fc.tuple(name, part), { maxLength: 12 }).map((fields) =>
  Buffer.concat(
    [Buffer.from('1700000000000-0'), ...fields.flat()].flatMap((bytes) => {
      const length = Buffer.alloc(LENGTH_BYTES)
      length.writeUInt16BE(bytes.length)
      return [length, bytes]
    }),
  ),
)

export const TARGETS: readonly FuzzTarget[] = [
  {
    name: 'entries',
    decode(bytes) {
      const entry = entryOf(bytes)
      const [delivery] = readEntries([entry], ASSIGNMENT, { suspectTo: '9-0' }).deliveries
      if (delivery === undefined) throw new Violation('an entry is no delivery')
      const { id, key, headers, timestamp, replyTo, native } = delivery
      const original = { native, part: 'message' as const }
      const record = { ...forwardedRecord(delivery), original }
      return {
        id,
        key,
        bytes: delivery.bytes,
        headers,
        timestamp,
        replyTo,
        lost: REDIS_FORM.beyondPortable(native),
        passedOn: nativeFieldsOf(record),
        reply: readReply(entry),
      }
    },
    declares: () => false,
    dictionary: ['\0\u0007payload', '\0\u0002id', '\0\u0009timestamp', '\0\u0003h.a', '\0\u000bh.__proto__'],
    inputs: entries,
  },
  {
    name: 'offset',
    decode: (bytes) => startId({ offset: bytes.toString() }),
    declares: (error) => isStreamError(error) && error.code === 'INVALID_ARGUMENT',
    dictionary: ['18446744073709551615', '18446744073709551616', '-', '0', '$', '+'],
  },
  transportSettings(redis, ['REDIS_URL', 'REDIS_HOST', 'STREAMSWITCH_TOPIC_NAMES', 'STREAMSWITCH_PREFIX']),
]
