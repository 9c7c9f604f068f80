import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { historyOf } from '../src/consumer/attempt-notes.js'
import type { ConsumerLoop } from '../src/consumer/consumer-loop.js'
import type { ConsumerLoopOptions } from '../src/consumer/consumer-options.js'
import { Delivery } from '../src/consumer/delivery.js'
import type { PartitionAssignment } from '../src/contract/consumer-driver.js'
import { Postponement } from '../src/dedupe/postponement.js'
import { StreamError } from '../src/errors.js'
import type { Message } from '../src/message.js'
import { Script, type ScriptedConsumerDriver, scriptedTransport, until } from './support/scripted-adapter.js'

const ISOLATION = Symbol.for('streamswitch.Isolation')

/** What a process knows ends with it; another member has its own. */
function anotherProcess(): void {
  delete (globalThis as Record<symbol, unknown>)[ISOLATION]
}

beforeEach(anotherProcess)

/** What a broker keeps of one partition's messages. */
class Journal {
  readonly notes = new Map<string, number>()
  /** All that was noted, in order. */
  readonly history: (readonly [string, number])[] = []
  readonly acked = new Set<string>()
  epoch = 0
  readonly #owners: number[] = []

  /** Hands what isn't acked to a member, as what was in the hands of one that died. */
  give(driver: ScriptedConsumerDriver, ids: readonly string[], partition = 0): PartitionAssignment {
    this.epoch += 1
    const assignment = { topic: 'orders', partition, epoch: this.epoch }
    this.#owners[partition] = assignment.epoch
    const isOwner = (): boolean => this.#owners[partition] === assignment.epoch
    const note = async (_: PartitionAssignment, { id }: Delivery, value: number): Promise<void> => {
      if (!isOwner()) return
      this.notes.set(id, value)
      this.history.push([id, value])
    }
    Object.assign(driver.attempts, { starting: note, failed: note })
    Object.assign(driver, {
      ack: async (_: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> => {
        if (!isOwner()) throw new StreamError('fenced', { code: 'ABORTED', retryable: false })
        for (const { id } of deliveries) this.acked.add(id)
      },
    })
    driver.sink.assigned([assignment])
    const left = ids.filter((id) => !this.acked.has(id))
    void driver.sink.deliver(
      assignment,
      left.map((id) => {
        const fields = { id, key: id, payload: Buffer.from('1'), headers: {}, timestamp: 0, native: undefined }
        const history = { suspect: true, ...historyOf(this.notes.get(id) ?? 0) }
        return new Delivery(assignment, { ...fields, position: ids.indexOf(id), ...history })
      }),
    )
    return assignment
  }
}

async function member(
  options: Partial<ConsumerLoopOptions<string>>,
  handler: (message: Message) => unknown,
  settlement: 'individual' | 'cumulative' = 'individual',
): Promise<{ loop: ConsumerLoop<string>; driver: ScriptedConsumerDriver }> {
  anotherProcess()
  const script = new Script()
  script.settlement = settlement
  const loop = scriptedTransport(script).consumer<string>('orders', {
    group: 'billing',
    errorPolicy: 'restart',
    deadLetter: false,
    ...options,
  }) as ConsumerLoop<string>
  loop.on('error', () => {})
  loop.handle(handler)
  void loop.run().catch(() => {})
  await until(() => script.consumers.length > 0)
  onTestFinished(() => loop.close({ timeoutMs: 0 }))
  return { loop, driver: script.consumer }
}

const retry = { attempts: 3, minDelayMs: 0, maxDelayMs: 0 }

describe('what a process has noted of a start', () => {
  it('says nothing once another one has noted more: members that lose a partition in turn find why', async () => {
    const ids = ['ok-1', 'blocks', 'ok-2']
    const journal = new Journal()
    const starts: (readonly [number, number])[] = []
    const charged: string[] = []
    const skipped: string[] = []
    const members: { loop: ConsumerLoop<string>; driver: ScriptedConsumerDriver }[] = []
    let owner = 0
    let assignment: PartitionAssignment | undefined
    for (const index of [0, 1]) {
      const one = await member({ retry, concurrency: 3 }, async ({ id, attempt, epoch }) => {
        if (id !== 'blocks') return void (attempt > 1 && charged.push(id))
        starts.push([index, attempt])
        if (starts.length > 20 || epoch !== journal.epoch) return
        // Too short to be noticed here, and long enough for the other one to take the partition.
        owner = 1 - index
        const lost = assignment as PartitionAssignment
        assignment = journal.give(members[owner]?.driver as ScriptedConsumerDriver, ids)
        await members[index]?.driver.sink.revoked([lost], 'lost')
      })
      one.loop.on('skipped', ({ id }) => skipped.push(id))
      members.push(one)
    }
    assignment = journal.give(members[0]?.driver as ScriptedConsumerDriver, ids)
    await until(() => skipped.length > 0 || starts.length > 20)
    expect(starts.map(([index]) => index)).toEqual([0, 1, 0, 1].slice(0, starts.length))
    expect(starts.map(([, attempt]) => attempt)).toEqual([1, 1, 2, 3])
    expect(skipped).toEqual(['blocks'])
    expect(charged).toEqual([])
  })

  it('is taken back where the message could not be handled just now, and the next start is alone again', async () => {
    const journal = new Journal()
    journal.notes.set('slow', 1)
    let tries = 0
    const besides: number[] = []
    let atWork = 0
    const { driver } = await member({ retry, concurrency: 3 }, async ({ id }) => {
      if (id === 'slow') {
        tries += 1
        if (tries < 3) throw new Postponement('another one is at work on it', { code: 'CONFLICT', retryAfterMs: 1 })
        besides.push(atWork)
      }
      atWork += 1
      for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve))
      if (id === 'slow') expect(atWork, 'alone').toBe(1)
      atWork -= 1
    })
    journal.give(driver, ['slow', 'ok-1', 'ok-2', 'ok-3'])
    await until(() => journal.acked.size === 4)
    // Alone, and charged with its end: 3. Taken back: found at work, and charged with nothing, as before.
    expect(journal.history.flatMap(([id, note]) => (id === 'slow' ? [note] : []))).toEqual([3, 1, 3, 1, 3])
    expect(besides).toEqual([0])
  })

  it('is taken back where its ack is waited for: with others at work, the process may end by them', async () => {
    const journal = new Journal()
    journal.notes.set('held', 1)
    const held: Message[] = []
    const { driver } = await member({ retry, concurrency: 3, ack: 'manual' }, async (message) => {
      if (message.id === 'held') held.push(message)
      else await message.ack()
    })
    journal.give(driver, ['held', 'ok-1'])
    await until(() => journal.acked.has('ok-1'))
    expect(journal.notes.get('held')).toBe(0)
    await held[0]?.ack()
    expect(journal.acked.size).toBe(2)
  })

  it('is taken back at the end of a clean stop that waits no longer for its handler', async () => {
    for (const isPolite of [true, false]) {
      const journal = new Journal()
      const attempts: number[] = []
      const { loop, driver } = await member({ retry }, ({ attempt, signal }) => {
        attempts.push(attempt)
        return new Promise<void>((_, reject) => {
          if (isPolite) signal.addEventListener('abort', () => reject(signal.reason), { once: true })
        })
      })
      journal.give(driver, ['long'])
      await until(() => attempts.length === 1)
      expect(journal.notes.get('long')).toBe(1)
      await loop.close({ timeoutMs: 0 })
      expect(journal.notes.get('long')).toBe(0)
    }
  })

  it('keeps the attempts of what was given up while its ack has to wait: it is started no more', async () => {
    const journal = new Journal()
    journal.notes.set('killer', 7)
    for (let life = 1; life <= 2; life += 1) {
      const started: string[] = []
      const skipped: string[] = []
      const { loop, driver } = await member(
        { retry, concurrency: 3 },
        ({ id }) => {
          started.push(id)
          // The first of the partition: nothing behind it can be committed meanwhile.
          if (id === 'head') throw new StreamError('later', { code: 'UNAVAILABLE', retryAfterMs: 60_000 })
        },
        'cumulative',
      )
      loop.on('skipped', ({ id }) => skipped.push(id))
      journal.give(driver, ['head', 'killer', 'ok'])
      await until(() => skipped.length === 1 && started.length === 2 && (journal.notes.get('killer') ?? 0) % 2 === 0)
      expect(skipped).toEqual(['killer'])
      expect(started).not.toContain('killer')
      expect(historyOf(journal.notes.get('killer') ?? 0).priorAttempts).toBeGreaterThanOrEqual(retry.attempts)
    }
  })

  it('is made for nothing where the partition goes meanwhile: the handler is not called', async () => {
    const journal = new Journal()
    const started: string[] = []
    const { driver } = await member({ retry }, ({ id }) => void started.push(id))
    const assignment = journal.give(driver, [])
    const note: { resolve?: () => void } = {}
    Object.assign(driver.attempts, { starting: () => new Promise<void>((resolve) => Object.assign(note, { resolve })) })
    const fields = { id: 'a', key: 'a', payload: Buffer.from('1'), headers: {}, timestamp: 0, native: undefined }
    void driver.sink.deliver(assignment, [new Delivery(assignment, { ...fields, position: 0, suspect: true })])
    await until(() => note.resolve !== undefined)
    await driver.sink.revoked([assignment], 'lost')
    note.resolve?.()
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    expect(started).toEqual([])
  })
})

describe('a message that is alone', () => {
  it('stays so while its partition is handed over', async () => {
    const journal = new Journal()
    journal.notes.set('alone', 1)
    const started: string[] = []
    let end = (): void => {}
    const { driver } = await member({ retry, concurrency: 3 }, ({ id }) => {
      started.push(id)
      if (id !== 'alone') return
      return new Promise<void>((resolve) => {
        end = resolve
      })
    })
    const assignment = journal.give(driver, ['alone'])
    await until(() => started.length === 1)
    const leaving = driver.sink.revoked([assignment], 'graceful')
    journal.give(driver, ['other'], 1)
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    expect(started).toEqual(['alone'])
    end()
    await leaving
    await until(() => started.length === 2)
  })
})
