import { createRequire } from 'node:module'
import { gzipSync } from 'node:zlib'
import type { ConsumerLoop, StreamError } from '@streamswitch/core'
import type { OutgoingRecord } from '@streamswitch/core/driver'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { encodePortable, maxPortableBytes } from '../src/message.js'
import { openStream, unique, until } from './support/bench.js'
import { publishEntries, type RawEntry } from './support/raw-publisher.js'

/** Packages that count as not installed for the adapter. */
const missing = vi.hoisted(() => new Set<string>())

vi.mock('node:module', async (original) => {
  const real = await original<typeof import('node:module')>()
  return {
    ...real,
    createRequire: (from: string) => {
      const loadReal = real.createRequire(from)
      return (name: string): unknown => {
        if (missing.has(name) && !from.includes('/test/')) throw new Error(`Cannot find module '${name}'`)
        return loadReal(name)
      }
    },
  }
})

const load = createRequire(import.meta.url)

/** Messages with one number each, as they lie in a batch. */
function messagesOf(values: readonly number[]): Buffer {
  return Buffer.concat(
    values.flatMap((value) => {
      const record = {
        id: `id-${value}`,
        payload: Buffer.from(String(value)),
        timestamp: 0,
      } as unknown as OutgoingRecord
      const target = Buffer.alloc(maxPortableBytes(record))
      const bytes = target.subarray(0, encodePortable(target, 0, record))
      const size = Buffer.alloc(4)
      size.writeUInt32BE(bytes.length)
      return [size, bytes]
    }),
  )
}

function batch(compression: number, values: readonly number[], packed: (plain: Buffer) => Buffer): RawEntry {
  const plain = messagesOf(values)
  return { subEntries: values.length, compression, uncompressedBytes: plain.length, bytes: packed(plain) }
}

/** In snappy's own framing, as Java's and Go's stream clients write it: a compressed chunk, padding, a stored chunk. */
function framedSnappy(plain: Buffer): Buffer {
  const { compress_raw: compress } = load('snappy-wasm') as { compress_raw(bytes: Uint8Array): Uint8Array }
  const chunk = (type: number, data: Uint8Array): Buffer => {
    const head = Buffer.alloc(4)
    head.writeUInt8(type)
    head.writeUIntLE(data.length, 1, 3)
    return Buffer.concat([head, data])
  }
  const checksum = Buffer.alloc(4)
  return Buffer.concat([
    chunk(0xff, Buffer.from('sNaPpY')),
    chunk(0x00, Buffer.concat([checksum, compress(plain.subarray(0, 40))])),
    chunk(0xfe, Buffer.alloc(3)),
    chunk(0x01, Buffer.concat([checksum, plain.subarray(40)])),
  ])
}

async function lz4(plain: Buffer): Promise<Buffer> {
  return (load('lz4-napi') as { compressFrame(bytes: Buffer): Promise<Buffer> }).compressFrame(plain)
}

async function zstd(plain: Buffer): Promise<Buffer> {
  const codec = load('@bokuweb/zstd-wasm') as {
    init(): Promise<void>
    compress(bytes: Uint8Array, level: number): Uint8Array
  }
  await codec.init()
  return Buffer.from(codec.compress(plain, 3))
}

interface Reading {
  readonly loop: ConsumerLoop<number>
  readonly seen: number[]
  readonly errors: StreamError[]
  readonly stalls: string[]
}

/** A loop that reads a topic from its beginning. */
async function read(topic: string, settings: object = {}, failing: readonly number[] = []): Promise<Reading> {
  const loop = openStream().consumer<number>(topic, {
    group: unique('group'),
    from: 'earliest',
    retry: { attempts: 1 },
    ...settings,
  })
  const reading: Reading = { loop, seen: [], errors: [], stalls: [] }
  loop.on('stalled', ({ reason }) => reading.stalls.push(reason))
  loop.on('error', (error) => reading.errors.push(error as StreamError))
  loop.handle(({ value }) => {
    if (failing.includes(value)) throw new Error('fails')
    reading.seen.push(value)
  })
  await loop.init()
  void loop.run()
  return reading
}

async function topicOf(entries: readonly RawEntry[], partitions = 1): Promise<string> {
  const topic = unique('topic')
  const transport = openStream()
  await transport.admin.provision(transport.topicSpec(topic, { partitions }))
  await publishEntries(partitions === 1 ? topic : `${topic}-0`, entries)
  return topic
}

describe('batches of sub-entries of foreign producers', () => {
  test('that need a codec which is not installed stop their partition until it is; others go on, and nothing is started again', async () => {
    // Before the codec is needed for the first time: it stays once it is there.
    missing.add('snappy-wasm')
    onTestFinished(() => void missing.delete('snappy-wasm'))
    const topic = await topicOf([batch(0, [0], (bytes) => bytes), batch(2, [1, 2, 3], framedSnappy)], 2)
    await publishEntries(`${topic}-1`, [batch(0, [10, 11], (bytes) => bytes)])
    const { loop, seen, errors, stalls } = await read(topic, { partitions: 2, stallTimeoutMs: 2_000 })
    await until(() => seen.length === 3 && loop.stats().stoppedPartitions.length === 1)
    expect(seen.toSorted((a, b) => a - b)).toEqual([0, 10, 11])
    await until(() => stalls.length > 0)
    expect(loop.stats()).toMatchObject({ deadLettered: 0, reconnects: 0, stoppedPartitions: [{ partition: 0 }] })
    expect(errors).toMatchObject([
      { code: 'UNSUPPORTED', message: expect.stringMatching(/offsets 1 to 3.*snappy.*npm install snappy-wasm/) },
    ])
    expect(stalls).toEqual(['stopped'])
    missing.delete('snappy-wasm')
    await until(() => seen.length === 6 && loop.stats().stoppedPartitions.length === 0)
    expect(seen.filter((value) => value < 10)).toEqual([0, 1, 2, 3])
  })

  test('are read, however they are compressed; one message that fails does so alone', async () => {
    const plain = (bytes: Buffer): Buffer => bytes
    const [packedLz4, packedZstd] = [await lz4(messagesOf([6, 7])), await zstd(messagesOf([8, 9]))]
    const topic = await topicOf([
      batch(0, [0, 1], plain),
      batch(1, [2, 3], (bytes) => gzipSync(bytes)),
      batch(2, [4, 5], framedSnappy),
      batch(3, [6, 7], () => packedLz4),
      batch(4, [8, 9], () => packedZstd),
      batch(1, [10, 11, 12], (bytes) => gzipSync(bytes)),
    ])
    const { loop, seen, errors } = await read(topic, {}, [11])
    await until(() => loop.stats().acked === 13)
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12])
    expect(errors).toEqual([])
    expect(loop.stats().deadLettered).toBe(1)
  })

  test.each([
    ['of an unknown compression', () => batch(6, [1, 2], (bytes) => bytes), 'UNSUPPORTED'],
    ['damaged', () => batch(1, [1, 2], () => Buffer.from('no gzip at all')), 'SERIALIZATION'],
    ['cut off', () => ({ ...batch(0, [1, 2], (bytes) => bytes.subarray(0, -1)) }), 'SERIALIZATION'],
    [
      'too large',
      () => batch(1, [1, 2], (bytes) => gzipSync(Buffer.concat([bytes, Buffer.alloc(5_000)]))),
      'SERIALIZATION',
    ],
    [
      'said to be too large',
      () => ({ ...batch(1, [1, 2], (bytes) => gzipSync(bytes)), uncompressedBytes: 2 ** 31 }),
      'TOO_LARGE',
    ],
  ] as const)('that are %s are passed over where the policy says so', async (_title, made, code) => {
    const topic = await topicOf([made(), batch(0, [3], (bytes) => bytes)])
    const { seen, errors } = await read(topic, { errorPolicy: 'restart' })
    await until(() => seen.length === 1)
    expect(seen).toEqual([3])
    expect(errors).toMatchObject([{ code, message: expect.stringContaining('offsets 0 to 1') }])
  })
})
