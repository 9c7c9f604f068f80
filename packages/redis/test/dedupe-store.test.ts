import type { ClaimAnswer, DedupeClaim, Transport } from '@streamswitch/core'
import { describe, expect, test } from 'vitest'
import { RedisDedupeStore } from '../src/index.js'
import { openRedis, plainClient, unique, until } from './bench.js'
import { brokerUrl } from './broker-url.js'

/** A store that counts what it is asked to claim. */
class CountingStore extends RedisDedupeStore {
  asked = 0

  override claim(claims: readonly DedupeClaim[], claimMs: number): Promise<readonly ClaimAnswer[]> {
    this.asked += claims.length
    return super.claim(claims, claimMs)
  }
}

function claimOf(topic: string, id: string, token: string): DedupeClaim {
  return { topic, group: 'billing', id, place: undefined, token, ttlMs: 60_000 }
}

describe('the dedupe store on Redis', () => {
  test('answers claims, and the same claim again by holding it anew', async () => {
    const topic = unique('topic')
    const client = plainClient(brokerUrl)
    const store = new RedisDedupeStore(openRedis(brokerUrl))
    const claim = (id: string, token: string): DedupeClaim => claimOf(topic, id, token)
    expect(await store.claim([claim('a', '1'), claim('a', '2'), claim('b', '3')], 60_000)).toEqual([
      'claimed',
      { busyForMs: expect.any(Number) },
      'claimed',
    ])
    const key = `ss:{${topic}}:handled:billing:a`
    expect(await store.claim([claim('a', '1')], 120_000)).toEqual(['claimed'])
    expect(await client.pttl(key)).toBeGreaterThan(60_000)
    expect(await store.complete([claim('a', '2'), claim('a', '1'), claim('a', '1')])).toEqual([
      'busy',
      'completed',
      'completed',
    ])
    expect(await store.claim([claim('a', '1'), claim('a', '2')], 1_000)).toEqual(['done', 'done'])
    expect(await client.get(key)).toBe('1d1')
    await client.set(key, '2x')
    await expect(store.claim([claim('a', '1')], 1_000)).rejects.toThrow(/2/)
    expect(await client.get(key)).toBe('2x')
  })

  test('what a member had claimed ahead is free for others as soon as it has closed', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const handled: string[] = []
    const COUNT = 3_000
    // Nobody can wait for claims to run out by themselves.
    const member = (transport: Transport, store: RedisDedupeStore) =>
      transport.consumer<number>(topic, { group, dedupe: { store, claimMs: 3_600_000 } })
    const transport = openRedis(brokerUrl)
    await transport.producer<number>(topic).sendBatch(Array.from({ length: COUNT }, (_, index) => index))

    const store = new CountingStore(transport)
    const first = member(transport, store)
    let starts = 0
    let ahead = 0
    let closed: Promise<void> | undefined
    first.handle(({ id }) => {
      starts += 1
      handled.push(id)
      if (closed !== undefined || store.asked - starts < 50) return
      ahead = store.asked - starts
      closed = first.close()
    })
    void first.run()
    await until(() => closed !== undefined)
    await closed
    expect(ahead).toBeGreaterThanOrEqual(50)
    expect(handled.length).toBeLessThan(COUNT)

    const second = member(openRedis(brokerUrl), new RedisDedupeStore(openRedis(brokerUrl)))
    second.handle(({ id }) => void handled.push(id))
    void second.run()
    await until(() => handled.length === COUNT)
    expect(new Set(handled).size).toBe(COUNT)
    await second.close()
  })
})
