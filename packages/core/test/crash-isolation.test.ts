import fc from 'fast-check'
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { historyOf } from '../src/consumer/attempt-notes.js'
import type { ConsumerLoop } from '../src/consumer/consumer-loop.js'
import { Delivery } from '../src/consumer/delivery.js'
import type { PartitionAssignment } from '../src/contract/consumer-driver.js'
import { StreamError } from '../src/errors.js'
import { Script, type ScriptedConsumerDriver, scriptedTransport, until } from './support/scripted-adapter.js'

const ISOLATION = Symbol.for('streamswitch.Isolation')

/** What a process knows ends with it. */
function forgetProcess(): void {
  delete (globalThis as Record<symbol, unknown>)[ISOLATION]
}

/** What is asked of a process that is gone. */
function never(): Promise<void> {
  return new Promise(() => {})
}

beforeEach(forgetProcess)

interface Entry {
  readonly id: string
  readonly key: string | undefined
  readonly kills: boolean
  acked: boolean
  delivered: boolean
  note: number
}

/** A broker with a journal, and processes that messages may end. */
class Stand {
  readonly partitions: Entry[][]
  /** Once more where another one ends the process before the ack of the first is through. */
  readonly dead = new Set<string>()
  readonly handled = new Map<string, number>()
  deaths = 0
  readonly #concurrency: number
  readonly #loops: number
  readonly #attempts: number

  constructor(
    partitions: Entry[][],
    { concurrency, loops, attempts }: { concurrency: number; loops: number; attempts: number },
  ) {
    this.partitions = partitions
    this.#concurrency = concurrency
    this.#loops = loops
    this.#attempts = attempts
  }

  get unfinished(): number {
    return this.partitions.flat().filter((entry) => !entry.acked).length
  }

  /** One process, from its start to its end or to the last message. Returns whether it was ended by a message. */
  async process(): Promise<boolean> {
    forgetProcess()
    let died = false
    let alive = true
    const started: ConsumerLoop<string>[] = []
    for (let index = 0; index < this.#loops; index += 1) {
      const script = new Script()
      const loop = scriptedTransport(script).consumer<string>('orders', {
        group: 'billing',
        concurrency: this.#concurrency,
        retry: { attempts: this.#attempts, minDelayMs: 0, maxDelayMs: 0 },
        errorPolicy: 'restart',
        deadLetter: false,
      }) as ConsumerLoop<string>
      loop.on('error', () => {})
      loop.on('skipped', ({ id }) => alive && this.dead.add(id))
      loop.handle(async (message): Promise<void> => {
        if (!alive) return never()
        const entry = this.partitions[message.partition]?.[Number(message.offset)] as Entry
        // Others get their turn: what is at work, is at work together.
        for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve))
        if (!alive) return never()
        if (entry.kills) {
          died = true
          alive = false
          return never()
        }
        this.handled.set(entry.id, (this.handled.get(entry.id) ?? 0) + 1)
      })
      void loop.run().catch(() => {})
      await until(() => script.consumers.length > 0)
      this.#attach(script.consumer, () => alive, index)
      started.push(loop)
    }
    await until(() => died || this.unfinished === 0)
    alive = false
    if (died) this.deaths += 1
    // What is left of a process that is gone: nobody hears of it.
    forgetProcess()
    for (const loop of started) await loop.close({ timeoutMs: 0 })
    return died
  }

  #attach(driver: ScriptedConsumerDriver, isAlive: () => boolean, loop: number): void {
    const entryOf = ({ partition, position }: Delivery): Entry =>
      this.partitions[partition]?.[Number(position)] as Entry
    const note = async (_assignment: PartitionAssignment, delivery: Delivery, value: number): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve))
      if (isAlive()) entryOf(delivery).note = value
    }
    driver.attempts.starting = note
    driver.attempts.failed = note
    Object.assign(driver, {
      ack: async (_assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> => {
        if (!isAlive()) return never()
        for (const delivery of deliveries) entryOf(delivery).acked = true
      },
    })
    for (const [partition, log] of this.partitions.entries()) {
      if (partition % this.#loops !== loop) continue
      const assignment = { topic: 'orders', partition, epoch: 1 }
      driver.sink.assigned([assignment])
      const deliveries = log.flatMap((entry, position) =>
        entry.acked ? [] : [this.#delivery(assignment, entry, position)],
      )
      void driver.sink.deliver(assignment, deliveries)
    }
  }

  #delivery(assignment: PartitionAssignment, entry: Entry, position: number): Delivery {
    const suspect = entry.delivered
    entry.delivered = true
    return new Delivery(assignment, {
      id: entry.id,
      key: entry.key,
      payload: Buffer.from('1'),
      headers: {},
      timestamp: 0,
      position,
      native: undefined,
      suspect,
      ...historyOf(entry.note),
    })
  }
}

function entries(partitions: number, count: number, killers: readonly number[]): Entry[][] {
  const logs: Entry[][] = Array.from({ length: partitions }, () => [])
  for (let index = 0; index < count; index += 1) {
    const kills = killers.includes(index)
    const id = `${kills ? 'killer' : 'ok'}-${index}`
    logs[index % partitions]?.push({ id, key: `k${index % 97}`, kills, acked: false, delivered: false, note: 0 })
  }
  return logs
}

describe('a message that ends its process', () => {
  it.each([
    ['one', [500]],
    ['ten', [3, 4, 5, 100, 250, 251, 500, 777, 998, 999]],
  ])(
    'goes to the dead letters after its attempts, and no neighbour with it: %s of a thousand',
    async (_name, killers) => {
      const attempts = 3
      const stand = new Stand(entries(8, 1_000, killers), { concurrency: 10, loops: 2, attempts })
      while (await stand.process()) expect(stand.deaths).toBeLessThanOrEqual(killers.length * (attempts + 3))
      expect([...stand.dead].sort()).toEqual(killers.map((index) => `killer-${index}`).sort())
      expect(stand.handled.size).toBe(1_000 - killers.length)
    },
  )

  it('is found whatever stands beside it', { timeout: 120_000 }, async () => {
    const given = fc.record({
      partitions: fc.integer({ min: 1, max: 5 }),
      count: fc.integer({ min: 1, max: 24 }),
      killers: fc.uniqueArray(fc.nat({ max: 23 }), { maxLength: 4 }),
      concurrency: fc.integer({ min: 1, max: 6 }),
      loops: fc.integer({ min: 1, max: 3 }),
      attempts: fc.integer({ min: 1, max: 3 }),
    })
    const property = fc.asyncProperty(given, async ({ partitions, count, killers, concurrency, loops, attempts }) => {
      const found = killers.filter((index) => index < count)
      const stand = new Stand(entries(partitions, count, found), { concurrency, loops, attempts })
      while (await stand.process())
        if (stand.deaths > found.length * (attempts + 3)) throw new Error(`${stand.deaths} deaths`)
      expect([...stand.dead].sort()).toEqual(found.map((index) => `killer-${index}`).sort())
      expect(stand.handled.size).toBe(count - found.length)
    })
    await fc.assert(property, { numRuns: 25 })
  })
})

describe('a message that blocks the event loop for longer than its partitions are kept', () => {
  /** All partitions of one process, which loses them after each block and gets them again. */
  async function run(logs: Entry[][], attempts: number) {
    vi.useFakeTimers({ toFake: ['performance'] })
    onTestFinished(() => void vi.useRealTimers())
    const script = new Script()
    const loop = scriptedTransport(script).consumer<string>('orders', {
      group: 'billing',
      concurrency: 4,
      retry: { attempts, minDelayMs: 0, maxDelayMs: 0 },
      errorPolicy: 'restart',
      deadLetter: false,
    }) as ConsumerLoop<string>
    loop.on('error', () => {})
    const dead = new Set<string>()
    const handled = new Set<string>()
    let blocks = 0
    let epoch = 0
    let held: PartitionAssignment[] = []
    const entryOf = ({ partition, position }: Delivery): Entry => logs[partition]?.[Number(position)] as Entry
    const assign = (): void => {
      const { driver, sink } = { driver: script.consumer, sink: script.consumer.sink }
      epoch += 1
      held = logs.map((_log, partition) => ({ topic: 'orders', partition, epoch }))
      sink.assigned(held)
      for (const [partition, assignment] of held.entries()) {
        const fields = { key: undefined, payload: Buffer.from('1'), headers: {}, timestamp: 0, native: driver }
        const deliveries = (logs[partition] as Entry[]).flatMap(({ id, acked, note }, position) =>
          acked ? [] : [new Delivery(assignment, { id, position, ...fields, ...historyOf(note) })],
        )
        void sink.deliver(assignment, deliveries)
      }
    }
    loop.on('skipped', ({ id }) => dead.add(id))
    loop.handle(async (message) => {
      for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve))
      const entry = logs[message.partition]?.[Number(message.offset)] as Entry
      if (!entry.kills || message.epoch !== epoch) return void handled.add(entry.id)
      blocks += 1
      const lost = held
      epoch += 1
      vi.advanceTimersByTime(20_000)
      void script.consumer.sink.revoked(lost, 'lost').then(assign)
    })
    void loop.run().catch(() => {})
    await until(() => script.consumers.length > 0)
    const { attempts: journal } = script.consumer
    const note = async (_assignment: PartitionAssignment, delivery: Delivery, value: number): Promise<void> => {
      entryOf(delivery).note = value
    }
    Object.assign(journal, { starting: note, failed: note })
    Object.assign(script.consumer, {
      ack: async (assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> => {
        if (assignment.epoch !== epoch) throw new StreamError('fenced', { code: 'ABORTED', retryable: false })
        for (const delivery of deliveries) entryOf(delivery).acked = true
      },
    })
    assign()
    await until(() => logs.flat().every((entry) => entry.acked))
    await loop.close({ timeoutMs: 0 })
    return { dead, handled, blocks }
  }

  it('goes to the dead letters after its attempts, and no neighbour with it', async () => {
    const attempts = 3
    const { dead, handled, blocks } = await run(entries(4, 200, [17, 120]), attempts)
    expect([...dead].sort()).toEqual(['killer-120', 'killer-17'])
    expect([...handled].filter((id) => id.startsWith('ok')).length).toBe(198)
    expect(blocks).toBeLessThanOrEqual(2 * (attempts + 3))
  })

  it('is not charged with partitions that are lost for another reason', async () => {
    const script = new Script()
    const loop = scriptedTransport(script).consumer<string>('orders', { group: 'billing', retry: { attempts: 1 } })
    const attempts: number[] = []
    let finish = (): void => {}
    loop.handle((message) => {
      attempts.push(message.attempt)
      return new Promise<void>((resolve) => {
        finish = resolve
      })
    })
    void loop.run()
    await until(() => script.consumers.length > 0)
    const notes: number[] = []
    script.consumer.attempts.starting = async (_assignment, _delivery, note) => void notes.push(note)
    for (let epoch = 1; epoch <= 5; epoch += 1) {
      const assignment = { topic: 'orders', partition: 0, epoch }
      const fields = { id: 'a', key: 'a', payload: Buffer.from('1'), headers: {}, timestamp: 0, position: 0 }
      const history = { suspect: true, ...historyOf(notes.at(-1) ?? 0) }
      script.consumer.sink.assigned([assignment])
      void script.consumer.sink.deliver(assignment, [
        new Delivery(assignment, { ...fields, native: undefined, ...history }),
      ])
      await until(() => attempts.length === epoch)
      await script.consumer.sink.revoked([assignment], 'lost')
      finish()
    }
    expect(attempts).toEqual([1, 1, 1, 1, 1])
    expect(notes).toEqual([1, 1, 1, 1, 1])
    await loop.close()
  })
})
