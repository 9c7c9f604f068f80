import { createRequire } from 'node:module'
import { gzipSync } from 'node:zlib'
import type { OutgoingRecord } from '@streamswitch/core/driver'
import { describe, expect, it } from 'vitest'
import { decodeFetchResponse as decode, extentOf } from '../src/fetch-response.js'
import { correctBatch, fetchedBelow, nothingBelow } from '../src/fetched-batch.js'
import type { FetchedMessages, FetchedPartition, FetchResponse } from '../src/kafkajs-internals.js'
import { plainRecord } from '../src/received-record.js'
import { type BatchHead, encodeBatch, encodeRecords, NativeRecord } from '../src/record-batch.js'

/** kafkajs's own decoder: nothing has applied the patches here. */
const kafkajsDecoder = createRequire(import.meta.url)('kafkajs/src/protocol/requests/fetch/v11/response.js') as {
  decode(raw: Buffer): Promise<FetchResponse>
}

const NOW = 1_767_225_600_000

const LIMITS = { maxDecompressedBytes: 64 * 1024 * 1024 }

const decodeFetchResponse = (raw: Buffer): Promise<FetchResponse> => decode(raw, LIMITS)

function record(fields: Partial<OutgoingRecord> = {}): NativeRecord {
  const base = { id: 'id-1', key: undefined, payload: Buffer.from('value'), headers: undefined, timestamp: NOW }
  return new NativeRecord({ ...base, ...fields } as OutgoingRecord, 0, NOW)
}

const RECORDS = [
  record(),
  record({ key: '', payload: Buffer.alloc(0), timestamp: NOW - 5_000_000_000 }),
  record({ key: 'ключ', payload: undefined, timestamp: NOW + 100 }),
  record({ key: 'k'.repeat(200), headers: { a: 'ü', '': '', long: 'x'.repeat(300) } }),
  record({ payload: Buffer.alloc(70_000, 7) }),
  ...Array.from({ length: 200 }, (_, index) => record({ id: `many-${index}` })),
]

/** A batch as it comes from a broker. */
function batch(
  offset: number,
  records: readonly NativeRecord[],
  head: Partial<BatchHead> = {},
  encode = (body: Buffer): Buffer => body,
): Buffer {
  const shared = {
    attributes: 0,
    count: records.length,
    firstTimestamp: NOW,
    maxTimestamp: NOW + 100,
    producerId: -1n,
    producerEpoch: -1,
    firstSequence: -1,
  }
  const bytes = encodeBatch({ ...shared, ...head }, encode(encodeRecords(records, NOW)))
  bytes.writeBigInt64BE(BigInt(offset), 0)
  return bytes
}

interface Part {
  readonly set: Buffer
  readonly aborted?: readonly (readonly [producer: number, offset: number])[]
}

/** A Fetch response of one topic. */
function response(parts: readonly Part[], throttleMs = 3): Buffer {
  const numbers = (...values: (readonly [bits: 16 | 32 | 64, value: number])[]): Buffer =>
    Buffer.concat(
      values.map(([bits, value]) => {
        const bytes = Buffer.alloc(bits / 8)
        if (bits === 64) bytes.writeBigInt64BE(BigInt(value))
        else bytes.writeIntBE(value, 0, bits / 8)
        return bytes
      }),
    )
  const partitions = parts.map(({ set, aborted }, index) =>
    Buffer.concat([
      numbers([32, index], [16, 0], [64, 5_000_000_000], [64, 4_999_999_999], [64, 7], [32, aborted?.length ?? -1]),
      ...(aborted ?? []).map(([producer, offset]) => numbers([64, producer], [64, offset])),
      numbers([32, -1], [32, set.length]),
      set,
    ]),
  )
  const topic = Buffer.from('orders')
  return Buffer.concat([
    numbers([32, throttleMs], [16, 0], [32, 0], [32, 1], [16, topic.length]),
    topic,
    numbers([32, parts.length]),
    ...partitions,
  ])
}

/** As the consumers of a user see it. */
function plain(decoded: FetchResponse): FetchResponse {
  const responses = decoded.responses.map(({ topicName, partitions }) => ({
    topicName,
    partitions: partitions.map((one) => ({ ...one, messages: one.messages.map(plainRecord) })),
  }))
  return { ...decoded, responses }
}

describe('a Fetch response', () => {
  const whole = batch(5_000_000_000, RECORDS)
  const repeated = Buffer.from('1e000000010276040261023102610232', 'hex')

  it.each<[string, readonly Part[]]>([
    ['of no partition', []],
    ['of an empty partition', [{ set: Buffer.alloc(0) }]],
    [
      'of several batches and partitions',
      [{ set: Buffer.concat([whole, batch(5_000_000_300, [record()])]) }, { set: batch(0, [record()]) }],
    ],
    ['with a batch that is cut off', [{ set: Buffer.concat([batch(0, [record()]), whole.subarray(0, 5_000)]) }]],
    ['with less than the head of a batch', [{ set: Buffer.concat([batch(0, [record()]), whole.subarray(0, 40)]) }]],
    ['with a batch that compaction has emptied', [{ set: Buffer.concat([batch(0, []), batch(3, [record()])]) }]],
    ['compressed', [{ set: batch(9, RECORDS, { attributes: 1 }, (body) => gzipSync(body)) }]],
    ['stamped by the broker', [{ set: batch(9, RECORDS, { attributes: 8 }) }]],
    [
      'of transactions',
      [
        {
          set: batch(9, RECORDS, { attributes: 0x10, producerId: 77n, producerEpoch: 3, firstSequence: 5 }),
          aborted: [[77, 9]],
        },
      ],
    ],
    ['with control records', [{ set: batch(9, [record()], { attributes: 0x30 }) }]],
    ['with a header that comes twice', [{ set: batch(0, [], { count: 1 }, () => repeated) }]],
  ])('%s is what kafkajs makes of it', async (_title, parts) => {
    const raw = response(parts)
    const theirs = await kafkajsDecoder.decode(raw)
    const ours = await decodeFetchResponse(raw)
    expect(plain(ours)).toEqual(theirs)
  })

  it('may have headers named like the members of every object, which kafkajs takes for earlier headers', async () => {
    const names = ['constructor', 'toString', '__proto__']
    const headers = Object.fromEntries(names.map((name) => [name, 'x']))
    const raw = response([{ set: batch(0, [record({ headers })]) }])
    const read = ({ responses }: FetchResponse): unknown[] => {
      const found = responses[0]?.partitions[0]?.messages[0]?.headers ?? {}
      return names.map((name) => Object.getOwnPropertyDescriptor(found, name)?.value)
    }
    expect(read(await decodeFetchResponse(raw))).toEqual(names.map(() => Buffer.from('x')))
    expect(read(await kafkajsDecoder.decode(raw))).not.toEqual(names.map(() => Buffer.from('x')))
  })

  it('may have times that no number holds exactly, which arrive rounded', async () => {
    const far = batch(0, [record()])
    far.writeBigInt64BE(-(2n ** 60n), 27)
    far.writeBigInt64BE(2n ** 63n - 1n, 43)
    const [message] = (await decodeFetchResponse(response([{ set: far }]))).responses[0]?.partitions[0]?.messages ?? []
    expect(message?.timestamp).toBe(String(-(2 ** 60)))
    expect(message?.batchContext.producerId).toBe(String(2n ** 63n - 1n))
  })

  it('holds more records than a call takes arguments, which kafkajs does not', async () => {
    const small = Array.from({ length: 200_000 }, () => record({ id: 'i', payload: undefined }))
    const raw = response([{ set: batch(0, small) }])
    await expect(kafkajsDecoder.decode(raw)).rejects.toThrow(RangeError)
    const decoded = await decodeFetchResponse(raw)
    expect(decoded.responses[0]?.partitions[0]?.messages).toHaveLength(200_000)
  })
})

describe('a fetched partition', () => {
  const Batch = createRequire(import.meta.url)('kafkajs/src/consumer/batch.js') as new (
    topic: string,
    fetchedOffset: string,
    partition: FetchedPartition,
  ) => FetchedMessages

  /** The partition as kafkajs makes it of a response, asked for from an offset on. */
  async function fetched(from: number, part: Part): Promise<FetchedMessages> {
    const decoded = await decodeFetchResponse(response([part], 0))
    return new Batch('orders', String(from), decoded.responses[0]?.partitions[0] as FetchedPartition)
  }

  /** A batch that was written with more records than compaction has left in it. */
  function compacted(offset: number, records: readonly NativeRecord[], written: number): Buffer {
    const bytes = batch(offset, records)
    bytes.writeInt32BE(written - 1, 23)
    return bytes
  }

  it('ends where its last batch was written to end, not at its last record, which is where kafkajs goes on', async () => {
    const one = await fetched(10, { set: compacted(10, [record()], 500) })
    expect([one.lastOffset(), fetchedBelow(one)]).toEqual(['10', 510])
    correctBatch(one)
    expect([one.lastOffset(), one.messages.length, one.isEmptyDueToFiltering()]).toEqual(['509', 1, false])
  })

  it('that compaction has emptied is passed over, where kafkajs stays for ever', async () => {
    const one = await fetched(10, { set: compacted(10, [], 3) })
    expect(one.isEmptyDueToFiltering()).toBe(false)
    correctBatch(one)
    expect([one.lastOffset(), one.isEmptyDueToFiltering(), fetchedBelow(one)]).toEqual(['12', true, 13])
  })

  it('of which the broker sends nothing has nothing up to its last stable offset, unless another one used the fetch up', async () => {
    const alone = await fetched(10, { set: Buffer.alloc(0) })
    expect([fetchedBelow(alone), nothingBelow(alone)]).toEqual([10, 4_999_999_999])
    const beside = await decodeFetchResponse(response([{ set: Buffer.alloc(0) }, { set: batch(0, [record()]) }], 0))
    const [empty] = beside.responses[0]?.partitions ?? []
    expect(nothingBelow(new Batch('orders', '10', empty as FetchedPartition))).toBe(0)
  })

  it('leaves out what was aborted, also behind a key of four zero bytes, which kafkajs takes for the end of it', async () => {
    const zero = [record({ key: '\0\0\0\0' }), record({ key: '\0\0\0\0' })]
    const head = { attributes: 0x10, producerId: 77n, producerEpoch: 3, firstSequence: 0 }
    const one = await fetched(9, { set: batch(9, zero, head), aborted: [[77, 9]] })
    expect(one.messages).toHaveLength(2)
    correctBatch(one)
    expect([one.messages.length, one.isEmptyDueToFiltering(), one.lastOffset()]).toEqual([0, true, '10'])
  })
})

describe('a batch that can not be read', () => {
  const damaged = (bytes: Buffer): Buffer => {
    const copy = Buffer.from(bytes)
    copy.writeUInt8(copy.readUInt8(copy.length - 3) ^ 0xff, copy.length - 3)
    return copy
  }
  const gzip = (offset: number, records: readonly NativeRecord[]): Buffer =>
    batch(offset, records, { attributes: 1 }, (body) => gzipSync(body))

  async function partitionsOf(parts: readonly Part[], maxDecompressedBytes = LIMITS.maxDecompressedBytes) {
    const decoded = await decode(response(parts), { maxDecompressedBytes })
    return (decoded.responses[0]?.partitions ?? []).map(({ messages, errorCode }) => {
      const extent = extentOf(messages)
      const { code } = extent?.unreadable?.error ?? {}
      return {
        offsets: messages.map(({ offset }) => offset),
        errorCode,
        next: extent?.nextOffset,
        range: extent?.unreadable?.range,
        code,
      }
    })
  }

  const three = [record(), record(), record()]

  it('ends what comes of its partition; the others are whole', async () => {
    const broken = Buffer.concat([gzip(0, [record()]), damaged(gzip(1, three)), gzip(4, [record()])])
    expect(await partitionsOf([{ set: broken }, { set: gzip(7, [record()]) }])).toEqual([
      { offsets: ['0'], errorCode: 0, next: 1, range: { first: 1, last: 3 }, code: 'SERIALIZATION' },
      { offsets: ['7'], errorCode: 0, next: 8, range: undefined, code: undefined },
    ])
  })

  it.each([
    ['of a compression that is not known', batch(1, three, { attributes: 7 }), 'UNSUPPORTED'],
    [
      'whose records end elsewhere than they say',
      batch(1, three, {}, (body) => Buffer.concat([Buffer.from([40]), body.subarray(1)])),
      'SERIALIZATION',
    ],
    ['that holds fewer records than it says', batch(1, three, { count: 4 }), 'SERIALIZATION'],
  ])('%s says so', async (_title, set, code) => {
    expect(await partitionsOf([{ set }])).toMatchObject([{ offsets: [], range: { first: 1 }, code }])
  })

  it('is one that the broker itself refuses to give: it says nothing of the others', async () => {
    const raw = response([{ set: Buffer.alloc(0) }, { set: batch(0, [record()]) }])
    // Behind throttling, errors, session, counts and the name of the topic, and the partition's number.
    raw.writeInt16BE(2, 4 + 2 + 4 + 4 + 2 + 'orders'.length + 4 + 4)
    const decoded = await decode(raw, LIMITS)
    const [first, second] = decoded.responses[0]?.partitions ?? []
    expect([first?.errorCode, second?.messages.length]).toEqual([0, 1])
    expect(extentOf(first?.messages ?? [])?.unreadable).toMatchObject({
      range: undefined,
      error: { code: 'UNAVAILABLE', message: expect.stringContaining('CORRUPT_MESSAGE') },
    })
  })

  it('begins at an offset beyond 2^53, or is shorter than its head', async () => {
    const far = batch(0, three)
    far.writeBigInt64BE(2n ** 60n, 0)
    const short = batch(0, three)
    short.writeInt32BE(4, 8)
    expect(await partitionsOf([{ set: far }, { set: short }, { set: gzip(7, [record()]) }])).toMatchObject([
      { offsets: [], range: undefined, code: 'SERIALIZATION' },
      { offsets: [], range: undefined, code: 'SERIALIZATION' },
      { offsets: ['7'], code: undefined },
    ])
  })

  it('has so many records that they take more memory than its bytes', async () => {
    const small = Array.from({ length: 1_000 }, () => record({ id: 'i', payload: undefined }))
    const parts = [{ set: gzip(0, small) }, { set: gzip(7, [record()]) }]
    expect(await partitionsOf(parts, 100_000)).toMatchObject([
      { offsets: [], range: { first: 0, last: 999 }, code: 'TOO_LARGE' },
      { offsets: ['7'], code: undefined },
    ])
    expect((await partitionsOf(parts, 1_000_000))[0]?.offsets).toHaveLength(1_000)
  })

  it('is none where the response has as many records as are taken at a time', async () => {
    const small = Array.from({ length: 100_000 }, () => record({ id: 'i', payload: undefined }))
    const sets = [0, 100_000, 200_000, 300_000].map((offset) => batch(offset, small))
    expect(await partitionsOf([{ set: Buffer.concat(sets) }])).toMatchObject([
      { offsets: expect.objectContaining({ length: 300_000 }) as unknown, next: 300_000, code: undefined },
    ])
  })

  it('is none where the response has used up what may be decompressed: the rest comes with the next one', async () => {
    const large = (offset: number): Buffer => gzip(offset, [record({ payload: Buffer.alloc(60_000, 32) })])
    const parts = [{ set: Buffer.concat([large(0), large(1), large(2)]) }, { set: large(7) }]
    expect(await partitionsOf(parts, 100_000)).toEqual([
      { offsets: ['0', '1'], errorCode: 0, next: 2, range: undefined, code: undefined },
      { offsets: [], errorCode: 0, next: undefined, range: undefined, code: undefined },
    ])
  })
})
