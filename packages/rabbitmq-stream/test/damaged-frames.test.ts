import { describe, expect, it } from 'vitest'
import { Chunk } from '../src/chunk.js'
import { readConfirm, readMetadataUpdate, readPublishErrors } from '../src/client-patches/server-frames.js'

const HEADER_BYTES = 48

/** A chunk of one message. */
function chunkOf(message: string, firstOffset = 7n): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + 4 + message.length)
  bytes.writeUInt16BE(1, 2)
  bytes.writeUInt32BE(1, 4)
  bytes.writeBigUInt64BE(firstOffset, 24)
  bytes.writeUInt32BE(message.length, HEADER_BYTES)
  bytes.write(message, HEADER_BYTES + 4)
  return bytes
}

describe('a damaged chunk is refused as a whole', () => {
  it('where a message ends beyond it: none is delivered cut short', () => {
    const whole = chunkOf('message')
    expect(new Chunk(whole).read(1, 0)).toEqual([{ offset: 7, bytes: Buffer.from('message') }])
    for (let bytes = HEADER_BYTES + 4; bytes < whole.length; bytes += 1)
      expect(() => new Chunk(whole.subarray(0, bytes)).read(1, 0), `${bytes} bytes`).toThrow(/ends beyond its chunk/)
  })

  it('where its offsets are no JavaScript numbers', () => {
    const last = BigInt(Number.MAX_SAFE_INTEGER)
    expect(new Chunk(chunkOf('m', last - 1n)).end).toBe(Number.MAX_SAFE_INTEGER)
    expect(() => new Chunk(chunkOf('m', last))).toThrow(RangeError)
  })
})

describe('a frame that is shorter than it says gets no memory for the rest', () => {
  const claiming = (count: number): Buffer => {
    const frame = Buffer.alloc(13 + 20)
    frame.writeUInt32BE(count, 9)
    return frame
  }

  it.each([
    ['confirm', readConfirm, 2],
    ['publish error', readPublishErrors, 2],
  ] as const)('%s', (_name, read, fits) => {
    expect(read(claiming(fits))).toHaveLength(fits)
    for (const count of [fits + 1, 30_000_000, 2 ** 32 - 1]) expect(() => read(claiming(count))).toThrow(/do not fit/)
  })

  it('metadata update', () => {
    const frame = Buffer.alloc(14)
    frame.writeInt16BE(3, 10)
    expect(() => readMetadataUpdate(frame)).toThrow(/exceeds the end of its frame/)
  })
})
