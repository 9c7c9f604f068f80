import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Message } from '@streamswitch/core'
import { findFreePort } from '@streamswitch/testkit/brokers'
import { describe, expect, it } from 'vitest'
import { hashText, rendezvous } from '../src/client/rendezvous.js'
import { Bed, consume, until } from './support/bed.js'

const KEYS = Array.from({ length: 12 }, (_, index) => `key-${index}`)

interface Seen {
  readonly replica: string
  readonly key: string | undefined
  readonly value: unknown
}

/** Values per key, in the order of their successful handling. */
function byKey(seen: readonly Seen[]): Record<string, unknown[]> {
  const values: Record<string, unknown[]> = {}
  for (const { key, value } of seen) {
    const list = values[String(key)] ?? []
    list.push(value)
    values[String(key)] = list
  }
  return values
}

describe('routes', () => {
  it('three groups of two replicas each: every group gets everything, per key in order and at one replica, whatever fails', async () => {
    await using bed = new Bed()
    const groups = ['audit', 'billing', 'mail']
    const routes: Record<string, string[]> = {}
    const seen: Record<string, Seen[]> = {}
    for (const group of groups) {
      routes[group] = []
      const list: Seen[] = []
      seen[group] = list
      for (const replica of ['one', 'two']) {
        const transport = await bed.open()
        routes[group].push(transport.base)
        const handler = async (message: Message): Promise<void> => {
          await new Promise(setImmediate)
          if (message.attempt < 3 && (hashText(`${group}${message.id}`) & 7) === 0) throw new Error('injected')
          list.push({ replica, key: message.key, value: message.value })
        }
        await consume(transport, 'orders', group, handler, { concurrency: 16 })
      }
    }
    const sending = await bed.open({ routes: { orders: routes } })
    const producer = sending.producer('orders')
    await Promise.all(Array.from({ length: 20 }, (_, value) => KEYS.map((key) => producer.send(value, { key }))).flat())
    await Promise.all(Array.from({ length: 40 }, (_, value) => producer.send(value)))
    for (const group of groups) {
      const { undefined: keyless = [], ...keyed } = byKey(seen[group] ?? [])
      expect(keyed).toEqual(
        Object.fromEntries(KEYS.map((key) => [key, Array.from({ length: 20 }, (_, value) => value)])),
      )
      expect(keyless.map(Number).sort((left, right) => left - right)).toEqual(
        Array.from({ length: 40 }, (_, value) => value),
      )
      for (const key of KEYS)
        expect(
          new Set(seen[group]?.filter((one) => one.key === key).map(({ replica }) => replica)).size,
          `${key} stays at one replica`,
        ).toBe(1)
      for (const replica of ['one', 'two']) {
        expect(
          new Set(seen[group]?.filter((one) => one.replica === replica && one.key !== undefined).map(({ key }) => key))
            .size,
        ).toBeGreaterThan(1)
        expect(
          seen[group]?.filter((one) => one.replica === replica && one.key === undefined).length,
          'keyless ones go round',
        ).toBeGreaterThan(10)
      }
    }
    expect(producer.stats().resent).toBeGreaterThan(0)
  })

  it('messages without key go to the replicas of a group in turn', async () => {
    await using bed = new Bed()
    const replicas = [await bed.open(), await bed.open()]
    const handled = [0, 0]
    for (const [index, replica] of replicas.entries()) {
      await consume(replica, 'orders', 'billing', () => {
        handled[index] = (handled[index] ?? 0) + 1
      })
    }
    const routes = { orders: { billing: replicas.map(({ base }) => base) } }
    const producer = (await bed.open({ routes })).producer('orders')
    for (let number = 0; number < 10; number += 1) await producer.send(number)
    expect(handled).toEqual([5, 5])
  })

  it.each(['by routes', 'behind one base URL'])(
    '%s, a retry goes only to the group that has not accepted',
    async (how) => {
      await using bed = new Bed()
      const receiving = await bed.open()
      const starts: string[] = []
      for (const group of ['a', 'b', 'c']) {
        await consume(receiving, 'orders', group, (message) => {
          starts.push(`${group}${message.attempt}`)
          if (group === 'b' && message.attempt < 4) throw new Error('not yet')
        })
      }
      const groups = Object.fromEntries(['a', 'b', 'c'].map((group) => [group, [receiving.base]]))
      const sending = await bed.open(how === 'by routes' ? { routes: { orders: groups } } : {}, receiving.base)
      await sending.producer('orders').send(1, { key: 'k' })
      expect(starts.sort()).toEqual(['a1', 'b1', 'b2', 'b3', 'b4', 'c1'])
      starts.length = 0
      await sending.producer('orders').sendBatch([1, 2])
      expect(starts.sort()).toEqual(['a1', 'a1', 'b1', 'b1', 'b2', 'b2', 'b3', 'b3', 'b4', 'b4', 'c1', 'c1'])
    },
  )

  it('a message that one group refuses for good is rejected, with the group and its reason', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    await consume(transport, 'orders', 'fine', () => {})
    await consume(transport, 'orders', 'broken', () => Promise.reject(new Error('never')), {
      retry: { attempts: 2, minDelayMs: 1 },
    })
    await expect(transport.producer('orders').send(1)).rejects.toMatchObject({
      retryable: false,
      message: expect.stringContaining('never'),
    })
  })

  it('prefix goes before topics and groups on the wire', async () => {
    await using bed = new Bed()
    const receiving = await bed.open({ prefix: 'test-' })
    const values: unknown[] = []
    await consume(receiving, 'orders', 'g', (message) => void values.push([message.topic, message.value]))
    const routed = await bed.open({ prefix: 'test-', routes: { orders: { g: [receiving.base] } } })
    await routed.producer('orders').send(1)
    const based = await bed.open({ prefix: 'test-' }, receiving.base)
    await based.producer('orders').send(2)
    const other = await bed.open({}, receiving.base)
    await expect(other.producer('orders', { http: { notFoundGraceMs: 0 } }).send(3)).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
    expect(values).toEqual([
      ['orders', 1],
      ['orders', 2],
    ])
  })
})

describe('replicas that die', () => {
  interface ReplicaEvent {
    readonly member: string
    readonly event: 'up' | 'start' | 'end'
    readonly id?: string
    readonly key?: string
    readonly attempt?: number
  }

  async function startReplica(member: string, url: string, events: ReplicaEvent[], fate = ''): Promise<ChildProcess> {
    const ups = (): number => events.filter((one) => one.member === member && one.event === 'up').length
    const before = ups()
    const child = fork(fileURLToPath(new URL('support/replica-worker.mjs', import.meta.url)), [url, member, fate])
    child.on('message', (event) => void events.push(event as ReplicaEvent))
    await until(() => ups() > before, `replica ${member}`)
    return child
  }

  it('killed in mid-handling: the other takes over, in order, nothing is lost, and starts that were cut short are no attempts', async () => {
    await using bed = new Bed()
    const urls = [`http://127.0.0.1:${await findFreePort()}`, `http://127.0.0.1:${await findFreePort()}`]
    const events: ReplicaEvent[] = []
    const children = [
      await startReplica('0', urls[0] as string, events),
      await startReplica('1', urls[1] as string, events),
    ]
    const sending = await bed.open({ routes: { orders: { g: urls } } })
    const producer = sending.producer('orders')
    const victim = Number(await firstReplica(producer, events))
    const killer = producer.send('killer', { key: 'victim', id: 'killer', headers: { fate: 'kill' } })
    const behind = Array.from({ length: 10 }, (_, index) =>
      producer.send(index, { key: 'victim', id: `behind-${index}` }),
    )
    await until(() => events.some((one) => one.id === 'killer' && one.event === 'start'), 'the handler that dies')
    children[victim]?.kill('SIGKILL')
    await until(
      () => events.some((one) => one.id === 'killer' && one.member !== String(victim)),
      'the start at the other replica',
    )
    const restarted = await startReplica(`${victim}`, urls[victim] as string, events, 'survives')
    // The survivor doesn't end it either until its second restart: it is killed as well, and the first one, back again, takes over.
    children[1 - victim]?.kill('SIGKILL')
    await Promise.all([killer, ...behind])
    const ended = (): (string | undefined)[] =>
      events.filter((one) => one.event === 'end' && one.key === 'victim').map(({ id }) => id)
    // Responses and the replicas' reports travel by different ways.
    await until(() => ended().includes('behind-9'), 'the report of the last message')
    expect(ended()).toEqual(['first', 'killer', ...Array.from({ length: 10 }, (_, index) => `behind-${index}`)])
    expect(events.filter((one) => one.id === 'killer').map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1])
    restarted.disconnect()
  })

  /** Sends a message of the key and tells which replica it belongs to. */
  async function firstReplica(
    producer: { send(value: unknown, options: object): Promise<unknown> },
    events: readonly ReplicaEvent[],
  ): Promise<string | undefined> {
    await producer.send('first', { key: 'victim', id: 'first' })
    await until(() => events.some((one) => one.id === 'first'), 'the first message')
    return events.find((one) => one.id === 'first')?.member
  }
})

describe('rendezvous hashing', () => {
  const candidates = ['http://a', 'http://b', 'http://c', 'http://d'].map((name) => ({ name, hash: hashText(name) }))
  const keys = Array.from({ length: 4_000 }, (_, index) => `key-${index}`)
  const chosen = (key: string, among: typeof candidates): string | undefined => rendezvous(hashText(key), among)?.name

  it('spreads keys evenly and moves only the keys of a candidate that goes', () => {
    for (const { name } of candidates) {
      const share = keys.filter((key) => chosen(key, candidates) === name).length
      expect(share).toBeGreaterThan(850)
      expect(share).toBeLessThan(1_150)
    }
    const left = candidates.slice(1)
    for (const key of keys)
      if (chosen(key, candidates) !== 'http://a') expect(chosen(key, left)).toBe(chosen(key, candidates))
    expect(rendezvous(1, [])).toBeUndefined()
  })

  it('is the same in every version: producers of two versions must choose alike', () => {
    expect(['', 'a', 'key-1', 'é🦉'].map(hashText)).toEqual([
      2_872_998_923, 2_448_022_055, 3_537_961_607, 2_670_914_144,
    ])
  })
})
