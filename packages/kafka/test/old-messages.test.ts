import { createRequire } from 'node:module'
import { crc32, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { Decoding, readBatches } from '../src/batch-reader.js'
import { ByteReader } from '../src/byte-reader.js'
import { compress, compressionType } from '../src/compression.js'

const MAX_BYTES = 1_000_000

/** kafkajs's own decoders: nothing has applied the patches here. */
const require = createRequire(import.meta.url)
const Decoder = require('kafkajs/src/protocol/decoder.js') as new (bytes: Buffer) => object
const kafkajsDecoder = require('kafkajs/src/protocol/messageSet/decoder.js') as (
  decoder: object,
  size: number,
) => Promise<readonly Readonly<Record<string, unknown>>[]>

interface Fields {
  readonly magic: 0 | 1
  readonly offset: number
  readonly attributes?: number
  readonly time?: number
  readonly key?: Buffer | null
  readonly value?: Buffer | null
}

/** A message as brokers before 0.11 keep it (Kafka documentation, "Old Message Format"). */
function old({ magic, offset, attributes = 0, time = 5, key = null, value = Buffer.from('value') }: Fields): Buffer {
  const times = Buffer.alloc(magic === 0 ? 0 : 8)
  if (magic === 1) times.writeBigInt64BE(BigInt(time))
  const sized = (bytes: Buffer | null): Buffer => {
    const length = Buffer.alloc(4)
    length.writeInt32BE(bytes?.length ?? -1)
    return Buffer.concat([length, bytes ?? Buffer.alloc(0)])
  }
  const checked = Buffer.concat([Buffer.from([magic, attributes]), times, sized(key), sized(value)])
  const head = Buffer.alloc(16)
  head.writeBigInt64BE(BigInt(offset))
  head.writeInt32BE(4 + checked.length, 8)
  head.writeUInt32BE(crc32(checked), 12)
  return Buffer.concat([head, checked])
}

async function read(set: Buffer, maxDecompressedBytes = MAX_BYTES) {
  const decoding = new Decoding({ maxDecompressedBytes })
  const { records, nextOffset, unreadable } = await readBatches(new ByteReader(set), decoding)
  return {
    messages: records.map(({ offset, key, value }) => ({ offset, key, value })),
    times: records.map(({ timestamp }) => timestamp),
    nextOffset,
    range: unreadable?.range,
    code: unreadable?.error.code,
  }
}

const within = [0, 1, 2].map((offset) => old({ magic: 1, offset, time: 10 + offset, key: Buffer.from(`k${offset}`) }))

describe('messages of older formats', () => {
  it.each<[string, Buffer, string[]]>([
    [
      'of the oldest one',
      Buffer.concat([old({ magic: 0, offset: 7 }), old({ magic: 0, offset: 9, value: null })]),
      ['-1', '-1'],
    ],
    [
      'with times',
      Buffer.concat([old({ magic: 1, offset: 7, time: 3 }), old({ magic: 1, offset: 8, time: 4 })]),
      ['3', '4'],
    ],
    [
      'compressed, with offsets within',
      old({ magic: 1, offset: 12, attributes: 1, value: gzipSync(Buffer.concat(within)) }),
      ['10', '11', '12'],
    ],
    [
      'compressed, of the oldest one, with offsets of their own',
      old({
        magic: 0,
        offset: 9,
        attributes: 1,
        value: gzipSync(Buffer.concat([old({ magic: 0, offset: 8 }), old({ magic: 0, offset: 9 })])),
      }),
      ['-1', '-1'],
    ],
    ['cut off', Buffer.concat([old({ magic: 1, offset: 7 }), old({ magic: 1, offset: 8 }).subarray(0, 30)]), ['5']],
  ])('%s are what kafkajs makes of them', async (_title, set, times) => {
    const theirs = await kafkajsDecoder(new Decoder(set), set.length)
    const ours = await read(set)
    expect(ours.messages).toEqual(theirs.map(({ offset, key, value }) => ({ offset, key, value })))
    expect(ours.messages.length).toBeGreaterThan(0)
    expect(ours.times).toEqual(times)
    expect(ours.nextOffset).toBe(Number(ours.messages.at(-1)?.offset) + 1)
  })

  it('stamped by the broker have its time', async () => {
    const set = old({ magic: 1, offset: 12, attributes: 1 | 8, time: 99, value: gzipSync(Buffer.concat(within)) })
    expect((await read(set)).times).toEqual(['99', '99', '99'])
  })

  const spaces = old({ magic: 1, offset: 0, value: Buffer.alloc(3 * MAX_BYTES, ' ') })

  it.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)(
    'are not decompressed beyond the limit, and what is before them is read: %s',
    async (name) => {
      const type = compressionType(name)
      const bomb = old({ magic: 1, offset: 8, attributes: type, value: Buffer.from(await compress(type, spaces)) })
      const set = Buffer.concat([old({ magic: 1, offset: 7 }), bomb, old({ magic: 1, offset: 9 })])
      expect(await read(set)).toMatchObject({
        messages: [{ offset: '7' }],
        nextOffset: 8,
        range: { first: 8, last: 8 },
        code: 'TOO_LARGE',
      })
    },
  )

  it('count with the memory that they take, not with their bytes alone', async () => {
    const many = Buffer.concat(Array.from({ length: 8_000 }, (_, offset) => old({ magic: 1, offset, value: null })))
    expect(many.length).toBeLessThan(MAX_BYTES)
    const set = old({ magic: 1, offset: 9_000, attributes: 1, value: gzipSync(many) })
    expect(await read(set)).toMatchObject({ messages: [], code: 'TOO_LARGE' })
  })

  it.each<[string, Buffer]>([
    [
      'compressed within compressed ones',
      old({
        magic: 1,
        offset: 1,
        attributes: 1,
        value: gzipSync(old({ magic: 1, offset: 0, attributes: 1, value: gzipSync(spaces) })),
      }),
    ],
    ['without a value that is compressed', old({ magic: 1, offset: 1, attributes: 1, value: null })],
    [
      'that end within',
      old({ magic: 1, offset: 1, attributes: 1, value: gzipSync(within[0]?.subarray(0, 30) as Buffer) }),
    ],
    [
      'with a length below any',
      Buffer.concat([
        old({ magic: 1, offset: 1 }).subarray(0, 8),
        Buffer.from([255, 255, 255, 255]),
        old({ magic: 1, offset: 1 }).subarray(12),
      ]),
    ],
    ['with another checksum', Buffer.concat([old({ magic: 1, offset: 1 }).subarray(0, 20), Buffer.alloc(40)])],
  ])('that are damaged say so: %s', async (_title, set) => {
    expect(await read(set)).toMatchObject({ messages: [], code: 'SERIALIZATION' })
  })
})
