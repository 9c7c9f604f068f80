import { createRequire } from 'node:module'
import { Compressions, type OutgoingRecord } from '@streamswitch/core/driver'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { encodePortable, maxPortableBytes } from '../src/message.js'
import { openStream, unique, until } from './support/bench.js'
import { publishEntries, type RawEntry } from './support/raw-publisher.js'

const MIB = 1024 * 1024
const LIMIT = 8 * MIB
const TIMEOUT = { timeout: 60_000 }

const load = createRequire(import.meta.url)

afterEach(() => vi.restoreAllMocks())

/** How many bytes have been decompressed. */
function meter(): { bytes: number } {
  const counted = { bytes: 0 }
  const decompress = Compressions.prototype.decompress
  vi.spyOn(Compressions.prototype, 'decompress').mockImplementation(async function (this: Compressions, ...task) {
    const result = await decompress.apply(this, task)
    counted.bytes += result.length
    return result
  })
  return counted
}

/** By their numbers in the protocol. */
const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
const compressions = new Compressions({ transport: 'the attacker', load })

/** A message of so many spaces, as it lies in a batch. */
function message(bytes: number): Buffer {
  const record = {
    id: unique('id'),
    key: 'k',
    payload: Buffer.alloc(bytes, ' '),
    timestamp: 0,
  } as unknown as OutgoingRecord
  const target = Buffer.alloc(maxPortableBytes(record))
  const encoded = target.subarray(0, encodePortable(target, 0, record))
  const size = Buffer.alloc(4)
  size.writeUInt32BE(encoded.length)
  return Buffer.concat([size, encoded])
}

/** @param claimed - what its producer says that it decompresses to. */
async function batch(codec: (typeof CODECS)[number], plain: Buffer, claimed = plain.length): Promise<RawEntry> {
  const bytes = Buffer.from(await compressions.compress(codec, plain))
  return { subEntries: 1, compression: CODECS.indexOf(codec), uncompressedBytes: claimed, bytes }
}

const honest = (): RawEntry => ({ subEntries: 0, compression: 0, uncompressedBytes: 0, bytes: message(6).subarray(4) })

async function attacked(entries: readonly RawEntry[], settings: object = {}) {
  const topic = unique('topic')
  const transport = openStream()
  await transport.admin.provision(transport.topicSpec(topic, { partitions: 1 }))
  await publishEntries(topic, entries)
  const loop = transport.consumer<Buffer>(topic, {
    group: unique('group'),
    from: 'earliest',
    codec: 'bytes',
    maxInboxBytes: LIMIT,
    'rabbitmq-stream': { maxDecompressedBytes: LIMIT },
    ...settings,
  })
  const sizes: number[] = []
  const codes: string[] = []
  let open: () => void = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  loop.on('error', ({ code }) => codes.push(code))
  loop.handle(async ({ value }) => {
    sizes.push(value.length)
    await gate
  })
  return {
    sizes,
    codes,
    open,
    async start(): Promise<void> {
      await loop.init()
      void loop.run()
    },
  }
}

describe('batches of sub-entries that are small on the wire', () => {
  it.each(CODECS.slice(1))(
    'and claim to be small when decompressed, are not decompressed beyond it: %s',
    async (codec) => {
      const bomb = await batch(codec, Buffer.alloc(5 * LIMIT, ' '), 1_000)
      const bed = await attacked([bomb, honest(), bomb, honest()], { errorPolicy: 'restart' })
      const counted = meter()
      bed.open()
      await bed.start()
      await until(() => bed.sizes.length === 2)
      expect(counted.bytes).toBe(0)
      expect(bed.sizes).toEqual([6, 6])
      expect(bed.codes).toEqual(['SERIALIZATION', 'SERIALIZATION'])
    },
  )

  it.each(CODECS.slice(1))('and beyond the limit are skipped where the loop skips: %s', async (codec) => {
    const bomb = await batch(codec, message(2 * LIMIT))
    const bed = await attacked([bomb, honest()], { errorPolicy: 'restart' })
    const counted = meter()
    bed.open()
    await bed.start()
    await until(() => bed.sizes.length === 1)
    expect(counted.bytes).toBe(0)
    expect(bed.codes).toEqual(['TOO_LARGE'])
  })

  it('are decompressed one at a time, as the loop has room for them', TIMEOUT, async () => {
    const one = await batch('gzip', message(7 * MIB))
    const bed = await attacked([...new Array<RawEntry>(16).fill(one), honest()])
    const counted = meter()
    await bed.start()
    await until(() => bed.sizes.length > 0)
    // An honest loop beside it is served while the handler waits.
    const beside = await attacked([honest(), honest(), honest()])
    beside.open()
    await beside.start()
    await until(() => beside.sizes.length === 3)
    expect(counted.bytes).toBeLessThanOrEqual(4 * LIMIT)
    bed.open()
    await until(() => bed.sizes.length === 17)
    expect(bed.sizes).toEqual([...new Array(16).fill(7 * MIB), 6])
  })

  it('in the stream of replies are passed over by whoever waits for one', TIMEOUT, async () => {
    const prefix = `${unique('p')}.`
    const transport = openStream({ prefix })
    const loop = transport.consumer<string>('asked', { group: 'g', partitions: 1 })
    loop.handle(({ value }) => value)
    void loop.run()
    await loop.init()
    const producer = transport.producer<string>('asked')
    expect(await producer.request('first').read()).toBe('first')
    const counted = meter()
    const bombs = [
      await batch('gzip', Buffer.alloc(200 * MIB, ' '), 1_000),
      await batch('zstd', Buffer.alloc(100 * MIB, ' ')),
    ]
    await publishEntries(`${prefix}streamswitch-replies`, bombs)
    expect(await producer.request('second').read()).toBe('second')
    expect(counted.bytes).toBe(0)
    for (const topic of ['asked', 'streamswitch-replies']) await transport.admin.deleteTopic(transport.topicSpec(topic))
  })
})
