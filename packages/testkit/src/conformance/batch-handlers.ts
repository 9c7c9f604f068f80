import { BatchError, type HandleBatchOptions, MemoryDedupeStore, type Message, StreamError } from '@streamswitch/core'
import { expect } from 'vitest'
import { type Bench, type MemberOptions, quickRetry } from './bench.js'
import { Gate, within } from './collect.js'
import { rejection, thrown } from './expect-error.js'
import { leftFor } from './expect-history.js'
import { load } from './load.js'
import type { Member } from './member.js'
import type { Suite } from './suite.js'

/** One batch as its handler got it. */
interface Seen {
  readonly ids: readonly string[]
  readonly keys: readonly (string | undefined)[]
  readonly attempts: readonly number[]
}

type Body = (messages: readonly Message[]) => unknown

/** A member with a batch handler, and the batches that it got. */
async function batching(
  bench: Bench,
  body: Body,
  options: HandleBatchOptions,
  member: MemberOptions = {},
): Promise<{ readonly member: Member; readonly seen: Seen[]; readonly done: string[] }> {
  const seen: Seen[] = []
  const done: string[] = []
  const handler: Body = async (messages) => {
    seen.push({
      ids: messages.map(({ id }) => id),
      keys: messages.map(({ key }) => key),
      attempts: messages.map(({ attempt }) => attempt),
    })
    const result = await body(messages)
    done.push(...messages.map(({ id }) => id))
    return result
  }
  const started = await bench.member({ ...member, attach: (loop) => void loop.handleBatch(handler, options) })
  return { member: started, seen, done }
}

/** Handlers that take a list. */
export function batchHandlers(suite: Suite): void {
  suite.describe('batch handlers', () => {
    sizes(suite)
    order(suite)
    partial(suite)
    poison(suite)
    deduplicated(suite)
    ends(suite)
  })
}

function sizes(suite: Suite): void {
  suite.test('a full batch comes at once, a smaller one after its wait, and all of it is acked', {}, async (bench) => {
    const { member, seen } = await batching(bench, () => undefined, { maxMessages: 5, maxWaitMs: 500 })
    const producer = bench.producer()
    for (let index = 0; index < 7; index += 1) void bench.ledger.send(producer, index, { id: `m${index}` })
    await bench.until(() => member.loop.stats().acked === 7, 'all messages to be acked')
    expect(seen.flatMap(({ ids }) => ids).sort()).toEqual(['m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6'])
    expect(Math.max(...seen.map(({ ids }) => ids.length))).toBeLessThanOrEqual(5)
    expect(seen.length, 'fewer batches than messages').toBeLessThan(7)
    await bench.ledger.allConfirmed()
    await member.leave()
  })

  suite.test('sizes that can not be are refused, and so is a second handler', {}, async (bench) => {
    const loop = bench.transport().consumer(bench.topic, { group: bench.group, prefetch: 10 })
    for (const options of [
      { maxMessages: 0 },
      { maxMessages: 11 },
      { maxWaitMs: -1 },
      { maxWaitMs: 200_000 },
      { to: 1 },
    ])
      thrown(() => loop.handleBatch(() => {}, { maxMessages: 10, ...options } as never), 'INVALID_ARGUMENT')
    thrown(() => loop.handleBatch('no function' as never), 'INVALID_ARGUMENT')
    loop.handleBatch(() => {}, { maxMessages: 10 })
    thrown(() => loop.handle(() => {}), 'CONFLICT')
  })
}

function order(suite: Suite): void {
  suite.test(
    'messages of a key stand in order, in one batch at a time; at most `concurrency` batches run at once',
    { partitions: suite.partitions },
    async (bench) => {
      const atWork = new Set<string>()
      let running = 0
      let most = 0
      const clashes: string[] = []
      const byKey = new Map<string, number[]>()
      const body: Body = async (messages) => {
        running += 1
        most = Math.max(most, running)
        const keys = new Set(messages.map(({ key }) => key ?? ''))
        for (const key of keys) if (atWork.has(key)) clashes.push(key)
        for (const key of keys) atWork.add(key)
        for (const { value } of messages) {
          const { key, index } = value as { key: string; index: number }
          byKey.set(key, [...(byKey.get(key) ?? []), index])
        }
        await new Promise((resolve) => setImmediate(resolve))
        for (const key of keys) atWork.delete(key)
        running -= 1
      }
      const { member, seen } = await batching(
        bench,
        body,
        { maxMessages: 20, maxWaitMs: 20 },
        { settings: { concurrency: 3 } },
      )
      const keys = ['a', 'b', 'c', 'd', 'e', 'f']
      const count = load(50)
      bench.ledger.series(bench.producer(), keys, count)
      await bench.until(() => member.loop.stats().acked === keys.length * count, 'all messages to be acked')
      const expected = Array.from({ length: count }, (_, index) => index)
      for (const key of keys) expect(byKey.get(key), `key ${key}`).toEqual(expected)
      expect(clashes).toEqual([])
      expect(most).toBeLessThanOrEqual(3)
      // Where the sender keeps one message of a key in flight, no two of them can meet.
      if (!suite.senderRetries) expect(seen.some((one) => new Set(one.keys).size < one.keys.length)).toBe(true)
    },
  )
}

function partial(suite: Suite): void {
  suite.test(
    'nack() on one: it alone fails; what follows it in its key comes after it, the others are done',
    {},
    async (bench) => {
      const handled: string[] = []
      let refused = 0
      const body: Body = async (messages) => {
        const bad = refused === 0 ? messages.find(({ id }) => id === 'a2') : undefined
        if (bad !== undefined) {
          refused += 1
          await bad.nack(new Error('not now'))
        }
        const failedAt = bad === undefined ? messages.length : messages.indexOf(bad)
        handled.push(
          ...messages
            .filter(({ key }, index) => index < failedAt || (bad !== undefined && key !== bad.key))
            .map(({ id }) => id),
        )
      }
      const { member, seen } = await batching(bench, body, { maxMessages: 5, maxWaitMs: 300 })
      const producer = bench.producer()
      for (const id of ['a1', 'a2', 'a3', 'b1', 'b2']) void bench.ledger.send(producer, id, { id, key: id.slice(0, 1) })
      await bench.until(() => member.loop.stats().acked === 5, 'all messages to be acked')
      await bench.ledger.allConfirmed()
      expect(refused).toBe(1)
      expect(handled.filter((id) => id.startsWith('a'))).toEqual(['a1', 'a2', 'a3'])
      expect(handled.filter((id) => id.startsWith('b'))).toEqual(['b1', 'b2'])
      const starts = (id: string): number => seen.filter(({ ids }) => ids.includes(id)).length
      expect([starts('a1'), starts('a2'), starts('b1'), starts('b2')]).toEqual([1, 2, 1, 1])
      await member.leave()
      expect(await leftFor(bench, ['a', 'b'])).toEqual([])
    },
  )

  suite.test(
    'a BatchError names those that failed; one of a sendBatch names nothing; full batches do not wait',
    {},
    async (bench) => {
      let batches = 0
      const cause = new StreamError('refused', { code: 'UNAVAILABLE' })
      const body: Body = (messages) => {
        batches += 1
        const failure = [{ index: messages.findIndex(({ id }) => id === 'two'), error: cause }]
        if (batches === 1) throw new BatchError(failure, messages.length, { operation: 'handle' })
        if (batches === 2) throw new BatchError([{ index: 0, error: cause }], 1, { operation: 'sendBatch' })
      }
      const { member, seen } = await batching(
        bench,
        body,
        { maxMessages: 3, maxWaitMs: 60_000 / 2 },
        { settings: { prefetch: 3 } },
      )
      const producer = bench.producer()
      for (const id of ['one', 'two', 'three']) void bench.ledger.send(producer, id, { id })
      await bench.until(() => member.loop.stats().handled === 2, 'those that succeeded')
      // Two more fill the batch of the one that is tried again.
      await bench.until(() => member.loop.stats().retried === 1 || suite.senderRetries, 'the failed one to wait')
      for (const id of ['four', 'five']) void bench.ledger.send(producer, id, { id })
      await bench.until(() => member.loop.stats().acked === 5, 'the others')
      expect([...(seen[0]?.ids ?? [])].sort()).toEqual(['one', 'three', 'two'])
      expect([...(seen[1]?.ids ?? [])].sort()).toEqual(['five', 'four', 'two'])
      expect(
        seen.slice(2).map(({ ids }) => ids.length),
        'each comes alone after an error of all',
      ).toEqual([1, 1, 1])
    },
  )
}

function poison(suite: Suite): void {
  if (suite.senderRetries || suite.settings.adapter.capabilities.deadLetters !== true) return
  suite.test(
    'one that makes every batch fail goes to the dead letters alone: its neighbours are handled',
    {},
    async (bench) => {
      const body: Body = (messages) => {
        if (messages.some(({ id }) => id === 'poison')) throw new Error('a defect')
      }
      const { member, done } = await batching(
        bench,
        body,
        { maxMessages: 10, maxWaitMs: 50 },
        { settings: { retry: quickRetry(3) } },
      )
      const dead: string[] = []
      member.loop.on('deadLetter', ({ id, attempts }) => dead.push(`${id} ${attempts}`))
      const producer = bench.producer()
      const ids = ['a1', 'poison', 'a2', 'b1', 'b2', 'c1']
      for (const id of ids) void bench.ledger.send(producer, id, { id, key: id === 'poison' ? 'a' : id.slice(0, 1) })
      await bench.until(() => member.loop.stats().acked === ids.length, 'all messages to be settled')
      expect(dead).toEqual(['poison 3'])
      expect([...done].sort()).toEqual(['a1', 'a2', 'b1', 'b2', 'c1'])
      expect(done.indexOf('a1')).toBeLessThan(done.indexOf('a2'))
    },
  )

  suite.test('one that can not be decoded leaves the batch, and the others of its key go on', {}, async (bench) => {
    const { member, done } = await batching(bench, () => undefined, { maxMessages: 3, maxWaitMs: 200 })
    const text = bench.producer({ codec: 'text' })
    for (const id of ['1', 'not json', '3']) void bench.ledger.send(text, id, { id, key: 'k' })
    await bench.until(() => member.loop.stats().acked === 3, 'all messages to be settled')
    expect(done).toEqual(['1', '3'])
    expect(member.loop.stats()).toMatchObject({ deadLettered: 1 })
  })
}

function deduplicated(suite: Suite): void {
  const modes = suite.has('manualAck') ? (['auto', 'manual'] as const) : (['auto'] as const)
  for (const ack of modes) {
    suite.test(
      `with dedupe, ack: '${ack}': each message is in one batch, however often it was sent`,
      {},
      async (bench) => {
        const { member, seen } = await batching(
          bench,
          (messages) => {
            // Not awaited: an ack may wait for one that the handler has yet to get to.
            if (ack === 'manual') for (const message of messages) void message.ack()
          },
          { maxMessages: 4, maxWaitMs: 100 },
          { settings: { ack, dedupe: { store: new MemoryDedupeStore() } } },
        )
        const producer = bench.producer()
        const ids = ['a1', 'a2', 'b1', 'b2', 'c1']
        for (let round = 0; round < 3; round += 1)
          for (const id of ids) void bench.ledger.send(producer, id, { id, key: id.slice(0, 1) })
        await bench.ledger.allConfirmed()
        const settled = (): number => member.loop.stats().handled + member.loop.stats().deduplicated
        // Where the sender repeats, the receiver may recognise a repetition before any loop sees it.
        const expected = suite.senderRetries ? ids.length : 3 * ids.length
        await bench.until(
          () => settled() >= expected && member.loop.stats().unsettled === 0,
          'everything to be settled',
        )
        expect(seen.flatMap(({ ids: batch }) => batch).sort()).toEqual(ids)
        expect(member.loop.stats()).toMatchObject({ handled: ids.length, retried: 0, conflicts: 0 })
      },
    )
  }

  suite.test(
    'with dedupe: those of a failed batch are tried again, those that succeeded are not',
    {},
    async (bench) => {
      let failures = 0
      const body: Body = (messages) => {
        const index = messages.findIndex(({ id }) => id === 'two')
        if (index < 0 || failures > 0) return
        failures += 1
        throw new BatchError([{ index, error: new StreamError('not now', { code: 'UNAVAILABLE' }) }], messages.length, {
          operation: 'handle',
        })
      }
      const { member, seen } = await batching(
        bench,
        body,
        { maxMessages: 3, maxWaitMs: 200 },
        { settings: { dedupe: { store: new MemoryDedupeStore() } } },
      )
      const producer = bench.producer()
      for (const id of ['one', 'two', 'three']) void bench.ledger.send(producer, id, { id, key: id })
      await bench.until(() => member.loop.stats().acked === 3, 'all messages to be acked')
      await bench.ledger.allConfirmed()
      const starts = (id: string): number => seen.filter(({ ids }) => ids.includes(id)).length
      expect([starts('one'), starts('two'), starts('three')]).toEqual([1, 2, 1])
      expect(member.loop.stats()).toMatchObject({ handled: 3, deduplicated: 0, conflicts: 0 })
    },
  )
}

function ends(suite: Suite): void {
  suite.test('close handles what has gathered, without its wait', {}, async (bench) => {
    const { member, done } = await batching(bench, () => undefined, { maxMessages: 100, maxWaitMs: 100_000 })
    void bench.ledger.send(bench.producer(), 1, { id: 'gathered', key: 'k' })
    await bench.until(() => member.loop.stats().running === 1, 'the message to gather')
    expect(done).toEqual([])
    await within(member.leave(), 'the end of close')
    expect(done).toEqual(['gathered'])
    await bench.ledger.allConfirmed()
    expect(await leftFor(bench, ['k'])).toEqual([])
  })

  suite.test('a batch over its time: signals abort, and each message is tried again', {}, async (bench) => {
    let batches = 0
    const body: Body = async (messages) => {
      batches += 1
      if (batches > 1) return
      await Promise.all(
        messages.map(
          ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true })),
        ),
      )
    }
    const { member, seen } = await batching(
      bench,
      body,
      { maxMessages: 2, maxWaitMs: 100 },
      { settings: { handlerTimeoutMs: 400, handlerGraceMs: 5_000 } },
    )
    const producer = bench.producer()
    for (const id of ['one', 'two']) void bench.ledger.send(producer, id, { id })
    await bench.until(() => member.loop.stats().acked === 2, 'both messages to be acked')
    expect(seen.length).toBeGreaterThanOrEqual(2)
    await bench.ledger.allConfirmed()
  })

  if (!suite.has('manualAck')) return
  suite.test('manual: each message of a batch is acked by itself', {}, async (bench) => {
    const gate = new Gate()
    const kept: Message[] = []
    const { member } = await batching(
      bench,
      (messages) => {
        kept.push(...messages)
        return gate.opened
      },
      { maxMessages: 3, maxWaitMs: 300 },
      { settings: { ack: 'manual' } },
    )
    const producer = bench.producer()
    for (const id of ['one', 'two', 'three']) void bench.ledger.send(producer, id, { id, key: id })
    gate.open()
    await bench.until(() => kept.length === 3 && member.loop.stats().running === 0, 'the handlers to end')
    expect(member.loop.stats()).toMatchObject({ acked: 0, unsettled: 3 })
    // Where a partition is settled up to a place, the ack of what stands behind 'two' waits for it.
    const acks = kept.filter(({ id }) => id !== 'two').map((message) => message.ack().catch(() => {}))
    await bench.until(() => member.loop.stats().handled === 2, 'two acks')
    await member.leave()
    await within(Promise.all(acks), 'the end of the acks')
    await rejection(kept.find(({ id }) => id === 'two')?.ack() ?? Promise.resolve(), 'ABORTED')
    expect(await leftFor(bench, ['one', 'two', 'three'])).toContain('two')
  })
}
