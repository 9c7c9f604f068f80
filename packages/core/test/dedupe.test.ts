import { type DedupeClaim, DedupeTransaction, isStreamError, MemoryDedupeStore } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'

function claim(id: string, token: string, ttlMs = 60_000): DedupeClaim {
  return { topic: 'orders', group: 'billing', id, place: undefined, token, ttlMs }
}

describe('the dedupe store in memory', () => {
  it('gives one claim at a time, and the same answer to the same claim again', async () => {
    const store = new MemoryDedupeStore()
    expect(await store.claim([claim('a', '1'), claim('a', '2'), claim('b', '3')], 1_000)).toEqual([
      'claimed',
      { busyForMs: expect.closeTo(1_000, -2) },
      'claimed',
    ])
    expect(await store.claim([claim('a', '1')], 1_000)).toEqual(['claimed'])
  })

  it('completes only what nobody else holds or has finished', async () => {
    const store = new MemoryDedupeStore()
    await store.claim([claim('a', '1')], 60_000)
    expect(await store.complete([claim('a', '2')])).toEqual(['busy'])
    expect(await store.complete([claim('a', '1'), claim('a', '1'), claim('a', '2')])).toEqual([
      'completed',
      'completed',
      'done',
    ])
    expect(await store.claim([claim('a', '1'), claim('a', '3')], 1_000)).toEqual(['done', 'done'])
    expect(await store.extend([claim('a', '1')], 1_000)).toEqual([false])
  })

  it('a claim that ran out may be taken, or completed where nobody took it', async () => {
    const store = new MemoryDedupeStore()
    await store.claim([claim('a', '1'), claim('b', '1')], 0)
    expect(await store.extend([claim('a', '1')], 60_000)).toEqual([false])
    expect(await store.claim([claim('a', '2')], 60_000)).toEqual(['claimed'])
    expect(await store.complete([claim('a', '1'), claim('b', '1')])).toEqual(['busy', 'completed'])
  })

  it('releases what is held, and nothing else', async () => {
    const store = new MemoryDedupeStore()
    await store.claim([claim('a', '1')], 60_000)
    await store.release([claim('a', '2')])
    expect(await store.claim([claim('a', '2')], 60_000)).not.toEqual(['claimed'])
    await store.release([claim('a', '1')])
    expect(await store.claim([claim('a', '2')], 60_000)).toEqual(['claimed'])
    await store.complete([claim('a', '2')])
    await store.release([claim('a', '2')])
    expect(await store.claim([claim('a', '3')], 60_000)).toEqual(['done'])
  })

  it('keeps topics and groups apart', async () => {
    const store = new MemoryDedupeStore()
    const others = [{ topic: 'invoices' }, { group: 'audit' }].map((other) => ({ ...claim('a', '2'), ...other }))
    expect(await store.claim([claim('a', '1'), ...others], 60_000)).toEqual(['claimed', 'claimed', 'claimed'])
  })

  it('forgets the oldest marks beyond maxMarks, never a claim, and by and by all that has run out', async () => {
    const store = new MemoryDedupeStore({ maxMarks: 3 })
    await store.claim([claim('held', 'h')], 60_000)
    for (const id of ['a', 'b', 'c', 'd']) await store.complete([claim(id, id)])
    expect(store.size).toBe(3)
    expect(await store.claim([claim('held', '2'), claim('d', '2')], 60_000)).toEqual([
      { busyForMs: expect.any(Number) },
      'done',
    ])
    const short = new MemoryDedupeStore()
    for (let index = 0; index < 1_000; index += 1) await short.complete([claim(`short-${index}`, 's', 0)])
    expect(short.size).toBeLessThan(20)
    expect(() => new MemoryDedupeStore({ maxMarks: 0 })).toThrow(/maxMarks/)
  })
})

describe('a dedupe transaction', () => {
  it('takes a function, and knows messages only while they are handled', () => {
    expect(() => new DedupeTransaction('no function' as never)).toThrow(/needs a function/)
    const once = new DedupeTransaction(() => undefined)
    const outside = ((): unknown => {
      try {
        return once.of({ id: 'a', topic: 'orders' } as never)
      } catch (error) {
        return error
      }
    })()
    expect(isStreamError(outside) && outside.code).toBe('INVALID_ARGUMENT')
  })
})
