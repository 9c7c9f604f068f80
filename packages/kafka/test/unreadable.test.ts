import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ConsumerLoop, StreamError } from '@streamswitch/core'
import { startBroker } from '@streamswitch/testkit/brokers'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { UnreadablePartitions } from '../src/unreadable-partitions.js'
import { openOn } from './support/cluster.js'
import { run } from './support/kcat.js'
import { openTransport, uniqueTopic } from './support/member.js'

/** Packages that count as not installed. */
const missing = vi.hoisted(() => new Set<string>())

vi.mock('node:module', async (original) => {
  const real = await original<typeof import('node:module')>()
  return {
    ...real,
    createRequire: (from: string) => {
      const load = real.createRequire(from)
      return (name: string): unknown => {
        if (missing.has(name))
          throw Object.assign(new Error(`Cannot find module '${name}'`), { code: 'MODULE_NOT_FOUND' })
        return load(name)
      }
    },
  }
})

interface Watched {
  readonly loop: ConsumerLoop<string>
  readonly handled: string[]
  readonly errors: StreamError[]
  readonly events: string[]
}

/** Runs a loop and keeps what it handles and reports. */
async function watch(loop: ConsumerLoop<string>): Promise<Watched> {
  const watched: Watched = { loop, handled: [], errors: [], events: [] }
  loop.on('error', (error) => watched.errors.push(error))
  loop.on('assigned', ({ partitions }) => watched.events.push(`assigned ${partitions.length}`))
  loop.on('reconnecting', () => watched.events.push('reconnecting'))
  loop.on('stalled', ({ reason }) => watched.events.push(`stalled: ${reason}`))
  loop.on('recovered', ({ reason }) => watched.events.push(`recovered: ${reason}`))
  loop.handle(({ value }) => {
    watched.handled.push(value)
  })
  await loop.init()
  void loop.run()
  return watched
}

const lines = (count: number, name: string): string[] => Array.from({ length: count }, (_, index) => `${name} ${index}`)

describe('a batch that needs a codec which is not installed', () => {
  it('stops its partition, and nothing else, until it is', async () => {
    missing.add('snappy-wasm')
    const [topic, other] = [uniqueTopic(), uniqueTopic()]
    const transport = openTransport()
    for (const one of [topic, other]) await transport.admin.provision(transport.topicSpec(one, { partitions: 2 }))
    await run(['-P', '-t', topic, '-p', '0', '-z', 'snappy', '-X', 'linger.ms=100'], lines(20, 'snappy').join('\n'))
    const options = { group: 'g', codec: 'text' as const, stallTimeoutMs: 2_000 }
    const beside = await watch(openTransport().consumer<string>(other, options))
    const first = await watch(transport.consumer<string>(topic, options))
    await expect.poll(() => first.errors.length, { timeout: 20_000 }).toBe(1)
    const { code, message } = first.errors[0] as StreamError
    expect(code).toBe('UNSUPPORTED')
    expect(message).toContain(`partition 0 of '${topic}' is stopped`)
    expect(message).toContain('offsets 0 to 19')
    expect(message).toMatch(/snappy.*npm install snappy-wasm/)
    expect(first.loop.stats().stoppedPartitions).toEqual([expect.objectContaining({ topic, partition: 0 })])
    const joined = [first.events.length, beside.events.length]
    const producer = transport.producer<string>(topic, { codec: 'text' })
    const elsewhere = transport.producer<string>(other, { codec: 'text' })
    for (const round of lines(10, 'plain')) {
      await Promise.all([producer.send(round, { partition: 1 }), elsewhere.send(round)])
      await expect.poll(() => first.handled.includes(round) && beside.handled.includes(round)).toBe(true)
    }
    // It has been tried again meanwhile, and is once more now: nobody has joined again, and nothing is reported twice.
    const failed = vi.spyOn(UnreadablePartitions.prototype, 'failed')
    await expect.poll(() => failed.mock.calls.length, { timeout: 20_000 }).toBeGreaterThan(0)
    expect([first.events.length, beside.events.length]).toEqual(joined)
    expect([...first.events, ...beside.events]).not.toContain('reconnecting')
    expect(first.events).not.toContain('stalled: delivery')
    expect([first.errors.length, beside.errors.length]).toEqual([1, 0])
    missing.clear()
    await expect.poll(() => first.handled.length, { timeout: 30_000 }).toBe(30)
    expect(first.handled.filter((text) => text.startsWith('snappy'))).toEqual(lines(20, 'snappy'))
    expect(first.events.at(-1)).toBe('recovered: stopped')
    expect(first.loop.stats().stoppedPartitions).toEqual([])
    await Promise.all([first.loop.close(), beside.loop.close()])
  }, 90_000)
})

describe('a batch that decompresses to more than maxDecompressedBytes', () => {
  const bound = { maxDecompressedBytes: 100_000 }
  const bomb = ' '.repeat(800_000)

  it('stops its partition', async () => {
    const topic = uniqueTopic()
    const sender = openTransport({ compression: 'gzip' }).producer<string>(topic, { codec: 'text' })
    for (const value of ['before', bomb, 'behind']) await sender.send(value)
    const { loop, handled, errors } = await watch(
      openTransport(bound).consumer<string>(topic, { group: 'g', codec: 'text' }),
    )
    await expect.poll(() => errors.length, { timeout: 20_000 }).toBe(1)
    expect(errors[0]).toMatchObject({
      code: 'TOO_LARGE',
      message: expect.stringMatching(/offsets 1 to 1.*gzip.*100000 bytes \(maxDecompressedBytes\)/),
    })
    expect(handled).toEqual(['before'])
    await loop.close()
  })

  it('is skipped and reported where the policy says so', async () => {
    const topic = uniqueTopic()
    const sender = openTransport({ compression: 'gzip' }).producer<string>(topic, { codec: 'text' })
    for (const value of ['before', bomb, 'behind', bomb]) await sender.send(value)
    const transport = openTransport(bound)
    const { loop, handled, errors } = await watch(
      transport.consumer<string>(topic, { group: 'g', codec: 'text', errorPolicy: 'restart' }),
    )
    await expect.poll(() => [handled, errors.length], { timeout: 20_000 }).toEqual([['before', 'behind'], 2])
    expect(errors.map(({ message }) => /offsets \d+ to \d+/.exec(message)?.[0])).toEqual([
      'offsets 1 to 1',
      'offsets 3 to 3',
    ])
    await expect.poll(() => loop.lag(), { timeout: 20_000 }).toEqual([{ topic, partition: 0, lag: 0 }])
    await loop.close()
  })
})

describe('a batch that is damaged on the disk of its broker', () => {
  it('stops its partition until it is mended, or is skipped', async () => {
    const broker = await startBroker('kafka')
    onTestFinished(() => broker.remove())
    const topic = uniqueTopic()
    const transport = openOn(broker.url, { compression: 'gzip' })
    const sender = transport.producer<string>(topic, { codec: 'text' })
    for (const value of ['a', 'b', 'c']) await sender.send(value)
    await sender.close()
    const log = join(broker.dataDir, 'kafka-logs', `${topic}-0`, '00000000000000000000.log')
    const flip = async (): Promise<void> => {
      await broker.stop()
      const bytes = await readFile(log)
      const second = 12 + bytes.readInt32BE(8)
      const last = second + 12 + bytes.readInt32BE(second + 8) - 1
      bytes.writeUInt8(bytes.readUInt8(last) ^ 0xff, last)
      await writeFile(log, bytes)
      await broker.start()
    }
    await flip()
    const options = { codec: 'text' as const, connectTimeoutMs: 60_000 }
    const waiting = await watch(openOn(broker.url).consumer<string>(topic, { ...options, group: 'waiting' }))
    await expect.poll(() => waiting.errors.length, { timeout: 30_000 }).toBe(1)
    expect(waiting.errors[0]).toMatchObject({
      code: 'SERIALIZATION',
      message: expect.stringMatching(/offsets 1 to 1.*gzip.*checksum/),
    })
    const skipping = await watch(
      openOn(broker.url).consumer<string>(topic, { ...options, group: 'skipping', errorPolicy: 'restart' }),
    )
    await expect.poll(() => skipping.handled, { timeout: 30_000 }).toEqual(['a', 'c'])
    expect(skipping.errors.map(({ message }) => message)).toEqual([expect.stringContaining('offsets 1 to 1')])
    await skipping.loop.close()
    expect(waiting.handled).toEqual(['a'])
    await flip()
    await expect.poll(() => waiting.handled, { timeout: 60_000 }).toEqual(['a', 'b', 'c'])
    expect(waiting.loop.stats().stoppedPartitions).toEqual([])
    await waiting.loop.close()
  }, 180_000)
})

describe('what is remembered of partitions that can not be read', () => {
  const place = { topic: 't', partition: 0 }
  const unreadable = { range: { first: 5, last: 9 }, error: new Error('x') as StreamError }

  it('waits longer with each try at the same offset, up to a minute', () => {
    const partitions = new UnreadablePartitions()
    const delays = Array.from({ length: 10 }, () => partitions.failed(place, 5, unreadable))
    for (const [index, delay] of delays.entries()) {
      const full = Math.min(60_000, 1_000 * 2 ** index)
      // A quarter more or less, within the bounds.
      expect(delay).toBeGreaterThanOrEqual(Math.max(1_000, full * 0.75))
      expect(delay).toBeLessThanOrEqual(Math.min(60_000, full * 1.25))
    }
    expect(partitions.failed(place, 10, unreadable)).toBeLessThanOrEqual(1_250)
  })

  it('outlives the generation that found it', () => {
    const partitions = new UnreadablePartitions()
    const delayMs = partitions.failed(place, 5, unreadable)
    expect(partitions.recall(place, 5)?.delayMs).toBeLessThanOrEqual(delayMs)
    expect(partitions.recall(place, 4)).toBeUndefined()
    partitions.forget(place)
    expect(partitions.recall(place, 5)).toBeUndefined()
  })
})
