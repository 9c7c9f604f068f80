import { gzipSync } from 'node:zlib'
import { Compressions } from '@streamswitch/core/driver'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { openTransport, uniqueTopic } from './support/member.js'
import { produceRaw, type RawRecord } from './support/raw-producer.js'

const MIB = 1024 * 1024
const LIMIT = 8 * MIB
const WAIT = { timeout: 60_000 }
const GZIP = { type: 1, compress: (bytes: Buffer): Buffer => gzipSync(bytes) }

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

function rawRecord(fields: Partial<RawRecord>): RawRecord {
  return { key: null, value: Buffer.from('x'), headers: [], timestamp: Date.now(), ...fields }
}

/** A topic of two partitions: attacks go to 0, and a loop hands on what honest senders send to 1. */
async function attacked(settings: { readonly skips: boolean }) {
  const topic = uniqueTopic()
  const transport = openTransport({ maxDecompressedBytes: LIMIT })
  await transport.admin.provision(transport.topicSpec(topic, { partitions: 2 }))
  const sizes: number[] = []
  const honest: string[] = []
  const codes: string[] = []
  let open: () => void = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const loop = transport.consumer<Buffer>(topic, {
    group: 'g',
    codec: 'bytes',
    concurrency: 4,
    maxInboxBytes: LIMIT,
    ...(settings.skips ? { errorPolicy: 'restart' as const } : {}),
  })
  loop.on('error', ({ code }) => codes.push(code))
  loop.handle(async ({ value, partition }) => {
    if (partition === 1) return void honest.push(value.toString())
    sizes.push(value.length)
    await gate
  })
  const sender = openTransport().producer<string>(topic, { codec: 'text' })
  return {
    topic,
    loop,
    sizes,
    honest,
    codes,
    open,
    async start(): Promise<void> {
      await loop.init()
      void loop.run()
    },
    async serve(count: number): Promise<void> {
      const before = honest.length
      for (let index = 0; index < count; index += 1) {
        await sender.send(`honest ${index}`, { partition: 1 })
        await expect.poll(() => honest.length, WAIT).toBe(before + index + 1)
      }
    },
    async send(value: Buffer, compression: string, times = 1): Promise<void> {
      const transport = openTransport({ compression, maxPayloadBytes: 64 * MIB })
      const producer = transport.producer<Buffer>(topic, { codec: 'bytes' })
      for (let index = 0; index < times; index += 1) await producer.send(value, { partition: 0, key: 'k' })
      await transport.close()
    },
  }
}

describe('compressed records that are small on the wire', () => {
  it('are decompressed a limit at a time, while honest senders are served', { timeout: 180_000 }, async () => {
    const bed = await attacked({ skips: false })
    await bed.send(Buffer.alloc(7 * MIB, ' '), 'gzip', 16)
    const counted = meter()
    await bed.start()
    await expect.poll(() => bed.sizes.length, WAIT).toBeGreaterThan(0)
    expect(counted.bytes).toBeLessThanOrEqual(3 * LIMIT)
    // The handlers wait: what more is fetched waits as well, and ends.
    await bed.serve(20)
    expect(counted.bytes).toBeLessThanOrEqual(6 * LIMIT)
    bed.open()
    await expect.poll(() => bed.sizes, WAIT).toEqual(new Array(16).fill(7 * MIB))
    expect(bed.codes).toEqual([])
  })

  it('are so behind a record with a time that no number holds', { timeout: 180_000 }, async () => {
    const bed = await attacked({ skips: true })
    await produceRaw(bed.topic, 0, [rawRecord({ timestamp: -(2 ** 60) })])
    await bed.send(Buffer.alloc(3 * LIMIT, ' '), 'gzip', 6)
    await bed.send(Buffer.from('behind'), 'none')
    const counted = meter()
    bed.open()
    await bed.start()
    await expect.poll(() => bed.sizes, WAIT).toEqual([1, 6])
    await bed.serve(3)
    expect(counted.bytes).toBe(0)
    expect(bed.codes).toEqual(new Array(6).fill('TOO_LARGE'))
  })

  it.each(['gzip', 'snappy', 'lz4', 'zstd'])(
    'beyond the limit are skipped where the loop skips: %s',
    async (name) => {
      const bed = await attacked({ skips: true })
      await bed.send(Buffer.alloc(2 * LIMIT, ' '), name, 3)
      await bed.send(Buffer.from('behind'), name)
      const counted = meter()
      bed.open()
      await bed.start()
      await expect.poll(() => bed.sizes, WAIT).toEqual([6])
      await bed.serve(3)
      expect(counted.bytes).toBeLessThan(1_000)
      expect(bed.codes).toEqual(['TOO_LARGE', 'TOO_LARGE', 'TOO_LARGE'])
    },
    120_000,
  )

  it('and hold very many records stop their partition alone', { timeout: 120_000 }, async () => {
    const bed = await attacked({ skips: false })
    const count = 100_000
    const empty = rawRecord({ value: null })
    await produceRaw(bed.topic, 0, new Array(count).fill(empty), GZIP)
    bed.open()
    await bed.start()
    await expect.poll(() => bed.codes, WAIT).toEqual(['TOO_LARGE'])
    await bed.serve(3)
    expect(bed.sizes).toEqual([])
    expect(bed.loop.stats().stoppedPartitions).toEqual([expect.objectContaining({ topic: bed.topic, partition: 0 })])
  })
})
