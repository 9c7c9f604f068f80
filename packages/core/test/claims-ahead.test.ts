import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { PartitionAssignment } from '../src/contract/consumer-driver.js'
import type { ClaimAnswer, DedupeClaim } from '../src/dedupe/dedupe-store.js'
import { MemoryDedupeStore } from '../src/dedupe/memory-dedupe-store.js'
import { StreamError } from '../src/errors.js'
import type { Message } from '../src/message.js'
import { deliveriesOf, Script, scriptedTransport, until } from './support/scripted-adapter.js'

/** The clock that claims go by. It stands still unless a test moves it: what starts at once starts at a great pace. */
let clock = 1_000

beforeEach(() => {
  clock = 1_000
  vi.spyOn(performance, 'now').mockImplementation(() => clock)
})

afterEach(() => {
  vi.restoreAllMocks()
})

/** A store that says what it was asked, and answers claims and releases when the test lets it. */
class Spy extends MemoryDedupeStore {
  readonly claimsAhead: boolean
  readonly asked: DedupeClaim[][] = []
  readonly released: string[] = []
  beforeClaim: () => Promise<void> = async () => {}
  beforeAnswer: () => Promise<void> = async () => {}
  beforeRelease: () => Promise<void> = async () => {}

  constructor(claimsAhead = true) {
    super()
    this.claimsAhead = claimsAhead
  }

  override async claim(claims: readonly DedupeClaim[], claimMs: number): Promise<readonly ClaimAnswer[]> {
    this.asked.push([...claims])
    await this.beforeClaim()
    const answers = await super.claim(claims, claimMs)
    await this.beforeAnswer()
    return answers
  }

  override async release(claims: readonly DedupeClaim[]): Promise<void> {
    await this.beforeRelease()
    await super.release(claims)
    this.released.push(...claims.map(({ id }) => id))
  }

  /** What each call was about. */
  get calls(): string[] {
    return this.asked.map((claims) => claims.map(({ id }) => id).join(' '))
  }

  /** What another member is told that wants a message; it has it then. */
  async asAnother(id: string): Promise<ClaimAnswer | undefined> {
    return (await super.claim([this.#anothers(id)], 60_000))[0]
  }

  async doneByAnother(id: string): Promise<void> {
    await super.complete([this.#anothers(id)])
  }

  #anothers(id: string): DedupeClaim {
    return { ...(this.asked.flat().find((claim) => claim.id === id) as DedupeClaim), token: 'another' }
  }
}

interface Run {
  readonly message: Message<string>
  end(error?: unknown): void
}

/** A loop whose handlers end when the test says so. */
async function start(store: Spy, options: object = {}) {
  const script = new Script()
  const loop = scriptedTransport(script).consumer<string>('orders', {
    group: 'billing',
    concurrency: 1,
    retry: { attempts: 3, minDelayMs: 0, maxDelayMs: 0 },
    deadLetter: false,
    dedupe: { store },
    ...options,
  })
  const runs: Run[] = []
  loop.handle(
    (message) =>
      new Promise<void>((resolve, reject) => {
        runs.push({ message, end: (error) => (error === undefined ? resolve() : reject(error)) })
      }),
  )
  const finished = loop.run()
  finished.catch(() => {})
  await until(() => script.consumers.length > 0)
  const assignment: PartitionAssignment = { topic: 'orders', partition: 0, epoch: 1 }
  const { sink } = script.consumer
  sink.assigned([assignment])
  const deliver = (names: string[], extra = {}): void =>
    void sink.deliver(assignment, deliveriesOf(assignment, names, extra))
  const started = (): string[] => runs.map(({ message }) => message.id)
  const end = async (id: string, error?: unknown): Promise<void> => {
    await until(() => started().includes(id))
    runs.findLast(({ message }) => message.id === id)?.end(error)
  }
  return { loop, sink, assignment, deliver, runs, started, end, finished, driver: script.consumer }
}

/** Holds calls back until it is opened. */
function gate(): { readonly wait: () => Promise<void>; open(): void; readonly entered: boolean } {
  let open: () => void = () => {}
  let entered = false
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return {
    wait: () => {
      entered = true
      return opened
    },
    open,
    get entered() {
      return entered
    },
  }
}

describe('claims ahead', () => {
  it('are asked for together with that of a start, and save the next starts their own calls', async () => {
    const store = new Spy()
    const { deliver, end, started, driver, loop } = await start(store)
    deliver(['a1', 'b1', 'c1'])
    for (const id of ['a1', 'b1', 'c1']) await end(id)
    await until(() => driver.acked.length === 3)
    expect(started()).toEqual(['a1', 'b1', 'c1'])
    expect(store.calls).toEqual(['a1 b1 c1'])
    expect(store.released).toEqual([])
    expect(await store.asAnother('c1')).toBe('done')
    await loop.close({ timeoutMs: 0 })
  })

  it('are taken along the line of a key, which starts in its order', async () => {
    const store = new Spy()
    const { deliver, end, started, driver, loop } = await start(store, { concurrency: 2 })
    deliver(['a1', 'a2', 'a3', 'b1'])
    await until(() => started().includes('b1'))
    expect(started()).toEqual(['a1', 'b1'])
    expect(store.calls).toEqual(['a1 b1 a2 a3'])
    for (const id of ['a1', 'a2', 'a3', 'b1']) await end(id)
    await until(() => driver.acked.length === 4)
    expect(store.calls).toHaveLength(1)
    await loop.close({ timeoutMs: 0 })
  })

  it('are none with a store that does not ask for them, nor for what must be alone, nor where handlers are slow', async () => {
    const plain = new Spy(false)
    const one = await start(plain)
    one.deliver(['a1', 'b1'])
    await until(() => one.started().length === 1)
    expect(plain.calls).toEqual(['a1'])
    await one.loop.close({ timeoutMs: 0 })

    const store = new Spy()
    const two = await start(store)
    two.deliver(['a1'])
    two.deliver(['b1'], { wasAtWork: true })
    await until(() => two.started().length === 1)
    expect(store.calls).toEqual(['a1'])
    await two.loop.close({ timeoutMs: 0 })

    const slow = new Spy()
    const three = await start(slow)
    clock += 1_000
    three.deliver(['a1', 'b1', 'c1'])
    await until(() => three.started().length === 1)
    clock += 1_000
    await three.end('a1')
    await until(() => three.started().length === 2)
    expect(slow.calls).toEqual(['a1', 'b1'])
    await three.loop.close({ timeoutMs: 0 })
  })

  it('tell of what the group has handled, without another call', async () => {
    const store = new Spy()
    const { deliver, end, started, driver, loop } = await start(store)
    deliver(['a1'])
    await end('a1')
    await until(() => driver.acked.length === 1)
    deliver(['b1', 'a1', 'c1'])
    await end('b1')
    await end('c1')
    await until(() => driver.acked.length === 4)
    expect(started()).toEqual(['a1', 'b1', 'c1'])
    expect(loop.stats()).toMatchObject({ handled: 3, deduplicated: 1 })
    expect(store.calls).toEqual(['a1', 'b1 a1 c1'])
    await loop.close({ timeoutMs: 0 })
  })
})

describe('claims ahead of what is not started', () => {
  it('are given back before a partition is let go, while its handler is still at work', async () => {
    const store = new Spy()
    const { sink, assignment, deliver, end, started, driver, loop } = await start(store)
    deliver(['a1', 'b1', 'c1'])
    await until(() => started().length === 1)
    expect(await store.asAnother('b1')).toEqual({ busyForMs: expect.any(Number) })
    const revoked = sink.revoked([assignment], 'graceful')
    await until(() => store.released.length === 2)
    expect(store.released).toEqual(['b1', 'c1'])
    expect(await store.asAnother('b1')).toBe('claimed')
    expect(await store.asAnother('a1')).toEqual({ busyForMs: expect.any(Number) })
    await end('a1')
    await revoked
    expect(driver.acked).toEqual(['a1'])
    expect(driver.released).toEqual(['b1', 'c1'])
    await loop.close({ timeoutMs: 0 })
  })

  it('are given back as well where the answer comes after the partition began to go, and it goes after that', async () => {
    const store = new Spy()
    const answer = gate()
    const release = gate()
    const { sink, assignment, deliver, end, started, driver, loop } = await start(store)
    store.beforeAnswer = answer.wait
    store.beforeRelease = release.wait
    deliver(['a1', 'b1'])
    await until(() => answer.entered)
    let gone = false
    const revoked = Promise.resolve(sink.revoked([assignment], 'graceful')).then(() => {
      gone = true
    })
    answer.open()
    await end('a1')
    await until(() => release.entered && driver.acked.length === 1)
    expect(gone).toBe(false)
    release.open()
    await revoked
    expect(store.released).toEqual(['b1'])
    expect(started()).toEqual(['a1'])
    await loop.close({ timeoutMs: 0 })
  })

  it('are not made in a partition that is about to go, nor along a key there, by the starts of another', async () => {
    const store = new Spy()
    const { sink, assignment, deliver, end, started, loop } = await start(store, { concurrency: 2 })
    deliver(['a1', 'a2', 'b1', 'b2'])
    await until(() => started().length === 2)
    const revoked = sink.revoked([assignment], 'graceful')
    await until(() => store.released.length === 2)
    const other: PartitionAssignment = { topic: 'orders', partition: 1, epoch: 1 }
    sink.assigned([other])
    void sink.deliver(other, deliveriesOf(other, ['c1', 'd1']))
    await end('b1')
    await end('c1')
    await until(() => started().includes('d1'))
    expect(store.calls.slice(1).join(' ')).toBe('c1 d1')
    await end('a1')
    await revoked
    await loop.close({ timeoutMs: 0 })
  })

  it.each([
    ['the loop pauses', async ({ loop }: Started) => loop.pause()],
    ['the partition is lost', async ({ sink, assignment }: Started) => void sink.revoked([assignment], 'lost')],
    ['the loop closes', async ({ loop }: Started) => void loop.close()],
  ])('are given back when %s', async (_what, act) => {
    const store = new Spy()
    const one = await start(store)
    one.deliver(['a1', 'b1', 'c1'])
    await until(() => one.started().length === 1)
    await act(one)
    await until(() => store.released.length === 2)
    expect(await store.asAnother('b1')).toBe('claimed')
    await one.end('a1')
    await one.loop.close()
  })

  it('are made again after a pause', async () => {
    const store = new Spy()
    const { loop, deliver, end, started, driver, runs } = await start(store)
    deliver(['a1', 'b1', 'c1'])
    await until(() => started().length === 1)
    loop.pause()
    loop.resume()
    for (const id of ['a1', 'b1', 'c1']) await end(id)
    await until(() => driver.acked.length === 3)
    expect(runs.map(({ message }) => message.attempt)).toEqual([1, 1, 1])
    await loop.close({ timeoutMs: 0 })
  })

  it('give way to the same message where that starts first', async () => {
    const store = new Spy()
    const { loop, deliver, end, started, driver } = await start(store, { concurrency: 2 })
    // Twins: the one waits behind a1, the other comes in another partition.
    deliver(['a1', 'a2'])
    await until(() => store.calls.length === 1)
    const assignment: PartitionAssignment = { topic: 'orders', partition: 1, epoch: 1 }
    driver.sink.assigned([assignment])
    const [twin] = deliveriesOf(assignment, ['a2'])
    void driver.sink.deliver(assignment, twin === undefined ? [] : [twin])
    await until(() => started().length === 2)
    expect(started()).toEqual(['a1', 'a2'])
    await end('a2')
    await end('a1')
    await until(() => driver.acked.length === 3)
    expect(loop.stats()).toMatchObject({ handled: 2, deduplicated: 1, conflicts: 0 })
    await loop.close({ timeoutMs: 0 })
  })
})

type Started = Awaited<ReturnType<typeof start>>

describe('a claim ahead that has waited long', () => {
  it('is made anew, by its own token, before its message starts', async () => {
    const store = new Spy()
    const { deliver, end, started, driver, loop } = await start(store)
    deliver(['a1', 'b1'])
    await until(() => started().length === 1)
    clock += 5_000
    await end('a1')
    await end('b1')
    await until(() => driver.acked.length === 2)
    expect(store.calls).toEqual(['a1 b1', 'b1'])
    expect(store.asked[1]?.[0]?.token).toBe(store.asked[0]?.[1]?.token)
    await loop.close({ timeoutMs: 0 })
  })

  it('never starts a message that another member has taken since it ran out', async () => {
    const store = new Spy()
    const { deliver, end, started, driver, loop } = await start(store)
    deliver(['a1', 'b1', 'c1'])
    await until(() => started().length === 1)
    clock += 10_001
    expect(await store.asAnother('b1')).toBe('claimed')
    await end('a1')
    await end('c1')
    expect(started()).toEqual(['a1', 'c1'])
    await store.doneByAnother('b1')
    await until(() => driver.acked.length === 3)
    expect(started()).toEqual(['a1', 'c1'])
    expect(loop.stats()).toMatchObject({ handled: 2, deduplicated: 1, conflicts: 0, retried: 0 })
    await loop.close({ timeoutMs: 0 })
  })
})

describe('claims ahead that the store does not answer', () => {
  it('cost no attempt, and their messages ask again when they start', async () => {
    const store = new Spy()
    const { deliver, end, driver, runs, loop } = await start(store, { concurrency: 3 })
    let refusals = 2
    store.beforeClaim = async () => {
      if (refusals === 0) return
      refusals -= 1
      throw new StreamError('out of order', { code: 'UNAVAILABLE', operation: 'dedupe' })
    }
    deliver(['a1', 'a2', 'b1', 'c1'])
    for (const id of ['a1', 'a2', 'b1', 'c1']) await end(id)
    await until(() => driver.acked.length === 4)
    expect(refusals).toBe(0)
    expect(runs.map(({ message }) => message.attempt)).toEqual([1, 1, 1, 1])
    expect(runs.map(({ message }) => message.id).filter((id) => id.startsWith('a'))).toEqual(['a1', 'a2'])
    await loop.close({ timeoutMs: 0 })
  })
})
