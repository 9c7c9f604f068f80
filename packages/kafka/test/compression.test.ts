import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import * as zlib from 'node:zlib'
import { Compressions } from '@streamswitch/core/driver'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compress, compressionType, decompress, requireCompression } from '../src/compression.js'
import { run, runTool } from './support/kcat.js'
import { openTransport, uniqueTopic } from './support/member.js'

const NAMES = ['gzip', 'snappy', 'lz4', 'zstd'] as const
const ENOUGH = 64 * 1024 * 1024

/** A block as other clients write it, in the framing of the Java client. */
function framed(blocks: readonly Buffer[]): Buffer {
  const head = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])
  return Buffer.concat([
    head,
    ...blocks.flatMap((block) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(block.length)
      return [length, block]
    }),
  ])
}

describe.each(NAMES)('%s', (name) => {
  const type = compressionType(name)

  it('gives back what was compressed', async () => {
    expect(() => requireCompression(name)).not.toThrow()
    const bodies = [Buffer.alloc(0), Buffer.from('x'), randomBytes(200_000), Buffer.alloc(5_000_000, 'again and ')]
    for (const body of bodies) {
      const packed = Buffer.from(await compress(type, body))
      expect((await decompress(type, packed, ENOUGH)).equals(body)).toBe(true)
    }
  })

  it('is bounded: what decompresses to more is refused, what fits exactly is not', async () => {
    const body = Buffer.alloc(3_000_000, 'spaces and more ')
    const packed = Buffer.from(await compress(type, body))
    expect(packed.length).toBeLessThan(300_000)
    await expect(decompress(type, packed, body.length - 1)).rejects.toMatchObject({
      code: 'TOO_LARGE',
      message: expect.stringMatching(`${name}.*2999999 bytes \\(maxDecompressedBytes\\)`),
    })
    expect((await decompress(type, packed, body.length)).length).toBe(body.length)
  })

  it('refuses damaged data, and works afterwards', async () => {
    const packed = Buffer.from(await compress(type, Buffer.from('some text, some text, some text')))
    const damaged = fc.tuple(fc.nat(packed.length - 1), fc.uint8Array({ minLength: 1, maxLength: 12 }))
    await fc.assert(
      fc.asyncProperty(damaged, async ([at, bytes]) => {
        const bad = Buffer.concat([packed.subarray(0, at), bytes])
        const outcome = await decompress(type, bad, 100_000).then(
          (decoded) => decoded.length <= 100_000,
          (error: { code?: string }) => error.code === 'SERIALIZATION' || error.code === 'TOO_LARGE',
        )
        expect(outcome).toBe(true)
      }),
    )
    expect((await decompress(type, packed, ENOUGH)).toString()).toBe('some text, some text, some text')
  })

  it('is written so that others can read it, and read from others', async () => {
    const topic = uniqueTopic()
    const transport = openTransport({ compression: name })
    const values = Array.from({ length: 50 }, (_, index) => `${index} ${'again and '.repeat(200)}`.trimEnd())
    const producer = transport.producer<string>(topic, { codec: 'text', lingerMs: 10 })
    await Promise.all(values.map((value) => producer.send(value)))
    const printed = await run(['-C', '-q', '-t', topic, '-o', 'beginning', '-c', '50', '-f', '%s\\n'])
    expect(printed.toString().trimEnd().split('\n')).toEqual(values)
    await run(['-P', '-t', topic, '-z', name, '-X', 'linger.ms=50'], values.map((value) => `k ${value}`).join('\n'))
    const byJava = ['--topic', topic, '--compression-codec', name]
    await runTool('kafka-console-producer', byJava, values.map((value) => `j ${value}`).join('\n'))
    const loop = transport.consumer<string>(topic, { group: 'g', codec: 'text', concurrency: 1 })
    const handled: string[] = []
    loop.handle(({ value }) => {
      handled.push(value)
    })
    await loop.init()
    void loop.run()
    await expect.poll(() => handled.length, { timeout: 20_000 }).toBe(150)
    expect(handled.slice(0, 50)).toEqual(values)
    expect(handled.slice(50, 100)).toEqual(values.map((value) => `k ${value}`))
    expect(handled.slice(100)).toEqual(values.map((value) => `j ${value}`))
  }, 60_000)
})

describe('snappy data', () => {
  it('is read in the framing of the Java client as well', async () => {
    const parts = ['first ', 'second'].map((text) => Buffer.from(text.repeat(100)))
    const blocks = await Promise.all(parts.map(async (part) => Buffer.from(await compress(2, part))))
    expect((await decompress(2, framed(blocks), ENOUGH)).equals(Buffer.concat(parts))).toBe(true)
    await expect(decompress(2, framed(blocks), 1_000)).rejects.toMatchObject({ code: 'TOO_LARGE' })
  })

  it('that claims to be larger than it can be gets no memory', async () => {
    const claim = Buffer.from([0xff, 0xff, 0xff, 0x1f, 0, 0])
    await expect(decompress(2, claim, ENOUGH)).rejects.toMatchObject({ code: 'SERIALIZATION' })
  })
})

it('a compression that is not known is refused, with its number', async () => {
  await expect(decompress(6, Buffer.alloc(10), ENOUGH)).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    message: expect.stringContaining('6'),
  })
})

const NOTHING: Buffer = Buffer.alloc(0)

/** A Zstandard frame of blocks that repeat one byte 128 KiB times (RFC 8878, 3.1.1.2.2). */
function repeating(blocks: number, { descriptor = 0, window = [0x58], size = NOTHING } = {}): Buffer {
  const all = Array.from({ length: blocks }, (_, index) => {
    const block = Buffer.alloc(4, ' ')
    block.writeUIntLE((131_072 << 3) | (1 << 1) | (index === blocks - 1 ? 1 : 0), 0, 3)
    return block
  })
  return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, descriptor, ...window]), size, ...all])
}

function size64(size: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(size)
  return bytes
}

/** An LZ4 frame that says another size than it has, with a right checksum of its head. */
async function lz4Claiming(size: bigint, read: (frame: Buffer) => Promise<unknown>): Promise<unknown[]> {
  const frame = Buffer.from(await compress(compressionType('lz4'), Buffer.from('abcabc')))
  const outcomes: unknown[] = []
  for (let checksum = 0; checksum < 256; checksum += 1) {
    const head = Buffer.from([...frame.subarray(0, 4), (frame[4] as number) | 8, frame[5] as number])
    const claiming = Buffer.concat([head, size64(size), Buffer.from([checksum]), frame.subarray(7)])
    outcomes.push(await read(claiming).catch((error: unknown) => error))
  }
  return outcomes
}

describe('data made to take memory', () => {
  const declared = (size: bigint) => ({ descriptor: 0xe0, window: [], size: size64(size) })

  it.each<[string, Buffer, 'zstd' | 'gzip']>([
    ['one that repeats a byte 4 GiB times', repeating(32_768), 'zstd'],
    ['one that says it is small', repeating(1_024, declared(5n)), 'zstd'],
    ['one that says it is as large as no memory', repeating(4, declared(2n ** 62n)), 'zstd'],
    ['a small one before a large one', Buffer.concat([repeating(1), repeating(1_024)]), 'zstd'],
    [
      'one that says what it has before a large one',
      Buffer.concat([repeating(1, declared(131_072n)), repeating(1_024)]),
      'zstd',
    ],
    ['twenty members', Buffer.concat(new Array<Buffer>(20).fill(zlib.gzipSync(Buffer.alloc(10_000_000)))), 'gzip'],
  ])('is refused: %s', async (_title, bytes, name) => {
    const before = process.memoryUsage().arrayBuffers
    await expect(decompress(compressionType(name), bytes, ENOUGH)).rejects.toMatchObject({ code: 'TOO_LARGE' })
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(3 * ENOUGH)
    // And nothing is damaged by it.
    const packed = Buffer.from(await compress(compressionType(name), Buffer.from('next')))
    expect((await decompress(compressionType(name), packed, ENOUGH)).toString()).toBe('next')
  })

  it('is read as what it is where it says that it is larger: lz4', async () => {
    const outcomes = await lz4Claiming(2n ** 40n, (frame) => decompress(compressionType('lz4'), frame, ENOUGH))
    for (const outcome of outcomes)
      if (Buffer.isBuffer(outcome)) expect(outcome.toString()).toBe('abcabc')
      else expect(outcome).toMatchObject({ code: 'SERIALIZATION' })
  })
})

it('zstd is started once, also where several adapters of a process use it', async () => {
  const load = createRequire(import.meta.url)
  let starts = 0
  const real = load('@bokuweb/zstd-wasm') as { init(): Promise<void> }
  const counting = {
    ...real,
    init: (): Promise<void> => {
      starts += 1
      return real.init()
    },
  }
  const adapters = ['one', 'another'].map((transport) => new Compressions({ transport, load: () => counting }))
  for (const adapter of adapters) await adapter.compress('zstd', Buffer.from('x'))
  // Newer versions of Node.js have it themselves.
  expect(starts).toBe('zstdDecompress' in zlib ? 0 : 1)
})
