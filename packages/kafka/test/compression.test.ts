import { randomBytes } from 'node:crypto'
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
