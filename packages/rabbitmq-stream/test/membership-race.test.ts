import type { ConsumerSink, Delivery, PartitionAssignment } from '@streamswitch/core/driver'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ResponseCode, ServerError } from '../src/client-patches/server-error.js'
import type { ConsumerUpdate } from '../src/client-patches/server-frames.js'
import type { StreamClient, SubscriptionEvents } from '../src/client-patches/stream-client.js'
import type { StreamConsumerSettings } from '../src/options.js'
import { OrphanWatch, WATCH_INTERVAL_MS } from '../src/orphan-watch.js'
import { PartitionMember } from '../src/partition-member.js'

const COMMIT_INTERVAL_MS = 200
const EPOCH = 'g:epoch'
const FORMAT = 1n << 60n

interface ScriptedRequest {
  readonly constructor: { readonly name: string }
  readonly reference: string
  readonly offsetValue: bigint
}

/** One member over scripted calls: what is stored answers at once, except what a test holds back. */
function scriptedMember() {
  const stored = new Map<string, bigint>([['g', 41n]])
  const events: string[] = []
  const held: (() => void)[] = []
  const candidacies: SubscriptionEvents[] = []
  let holds = (_reference: string): boolean => false
  const connection = {
    failure: undefined,
    send: async ({ reference, offsetValue }: ScriptedRequest) => void stored.set(reference, offsetValue),
    sendAndWait: async ({ constructor: { name }, reference }: ScriptedRequest) => {
      if (name === 'StreamStatsRequest')
        return { statistics: { firstChunkId: 0n, lastChunkId: 99n, committedChunkId: 99n } }
      if (name !== 'QueryOffsetRequest') return {}
      if (holds(reference)) await new Promise<void>((resolve) => held.push(resolve))
      const offsetValue = stored.get(reference)
      if (offsetValue === undefined) throw new ServerError(ResponseCode.noOffset, name)
      return { offsetValue }
    },
  }
  const client = {
    locator: connection,
    subscribe: async ({ singleActive = false }: { singleActive?: boolean }, listener: SubscriptionEvents) => {
      events.push(singleActive ? 'candidacy' : 'reads')
      if (singleActive) candidacies.push(listener)
      // A chunk behind the position: the watch finds a backlog.
      else if (listener.chunk !== undefined) queueMicrotask(() => listener.chunk?.(chunkAt(99)))
      return { connection, singleActive }
    },
    unsubscribe: async ({ singleActive }: { singleActive: boolean }) => {
      events.push(singleActive ? 'candidacy ends' : 'reads no more')
    },
    answerUpdate: (_: unknown, correlationId: number) => events.push(`answers ${correlationId}`),
    credit() {},
  }
  const assignments: PartitionAssignment[] = []
  const sink: Partial<ConsumerSink> = {
    assigned: (partitions) => {
      assignments.push(...partitions)
      events.push('assigned')
    },
    revoked: async (_, how) => void events.push(`revoked ${how}`),
    startIgnored() {},
    report() {},
    outOfRange: () => 'earliest',
    capacity: () => 0,
    deliver: () => new Promise(() => {}),
  }
  const member = new PartitionMember(
    { topic: 't', partition: 0, stream: 't-0', superStream: 't' },
    {
      client: client as unknown as StreamClient,
      sink: sink as ConsumerSink,
      group: 'g',
      from: undefined,
      options: {
        commitIntervalMs: COMMIT_INTERVAL_MS,
        chunksAhead: 5,
        handoverTimeoutMs: 10_000,
      } as StreamConsumerSettings,
      ownEpochs: new Map(),
      lost: (error) => events.push(`lost ${String(error)}`),
    },
  )
  let correlationId = 0
  return {
    member,
    stored,
    events,
    assignments,
    /** The broker's word on the latest candidacy, or another one. */
    update(active: boolean, candidacy = candidacies.length - 1): number {
      correlationId += 1
      const update: ConsumerUpdate = { active, correlationId, subscriptionId: 0 }
      candidacies[candidacy]?.update?.(connection as never, update)
      return correlationId
    },
    /** Answers about these references stay away until they are released. */
    hold(which: (reference: string) => boolean): void {
      holds = which
    },
    release(): void {
      holds = () => false
      for (const go of held.splice(0)) go()
    },
  }
}

/** A chunk of one message. */
function chunkAt(offset: number): Buffer {
  const bytes = Buffer.alloc(48 + 4)
  bytes.writeUInt8(0x50, 0)
  bytes.writeUInt16BE(1, 2)
  bytes.writeUInt32BE(1, 4)
  bytes.writeBigUInt64BE(BigInt(offset), 24)
  return bytes
}

const settled = () => vi.advanceTimersByTimeAsync(0)

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

describe('an activation', () => {
  test('is not stepped back from, however long its records take to load', async () => {
    const one = scriptedMember()
    const watch = new OrphanWatch([one.member], (error) => expect.unreachable(String(error)))
    await one.member.join()
    watch.start()
    await vi.advanceTimersByTimeAsync(4 * WATCH_INTERVAL_MS)
    one.hold((reference) => reference.startsWith('g:try'))
    one.update(true)
    // Silent for long enough, with a backlog, and another member calls: the watch is due.
    await vi.advanceTimersByTimeAsync(2 * WATCH_INTERVAL_MS)
    one.stored.set('g:step-back', FORMAT | 1n)
    await vi.advanceTimersByTimeAsync(6 * WATCH_INTERVAL_MS)
    expect(one.member.active, 'the records are still being loaded').toBe(false)
    one.release()
    await settled()
    watch.stop()
    expect(one.events.filter((event) => !event.startsWith('reads'))).toEqual(['candidacy', 'assigned', 'answers 1'])
    expect(one.member.active).toBe(true)
  })

  test('ends when the broker takes the partition back before its records are loaded', async () => {
    const one = scriptedMember()
    await one.member.join()
    one.hold((reference) => reference.startsWith('g:try'))
    one.update(true)
    await settled()
    one.update(false)
    one.release()
    await settled()
    expect(one.events).toEqual(['candidacy', 'answers 1', 'answers 2'])
    expect(one.stored.has(EPOCH), 'nothing was claimed').toBe(false)
    expect(one.member.active).toBe(false)
    one.update(true)
    await settled()
    expect(one.member.active, 'the same candidacy may be activated again').toBe(true)
  })

  test.each(['g:try.3', EPOCH])('ends with the membership while the answer about %s is awaited', async (reference) => {
    const one = scriptedMember()
    await one.member.join()
    one.hold((asked) => asked === reference)
    one.update(true)
    await settled()
    const leaving = one.member.leave()
    one.release()
    await leaving
    expect(one.events).toEqual(['candidacy', 'answers 1', 'candidacy ends'])
  })

  test('of a candidacy that has ended has no effect, and is answered', async () => {
    const one = scriptedMember()
    await one.member.join()
    const stepping = one.member.stepBack()
    one.update(true)
    await stepping
    await one.member.join()
    one.update(true, 0)
    await settled()
    expect(one.events).toEqual(['candidacy', 'candidacy ends', 'answers 1', 'candidacy', 'answers 2'])
    expect(one.member.waiting).toBe(true)
  })

  test('finds that another member has been activated meanwhile: it stands again behind the others', async () => {
    const one = scriptedMember()
    await one.member.join()
    one.hold((reference) => reference === EPOCH)
    one.update(true)
    await settled()
    one.release()
    one.hold((reference) => reference === EPOCH)
    await settled()
    one.stored.set(EPOCH, FORMAT | BigInt(Date.now() + 3_600_000))
    one.release()
    await settled()
    expect(one.events).toEqual(['candidacy', 'answers 1', 'candidacy ends', 'candidacy'])
  })
})

describe('an owner', () => {
  async function owner() {
    const one = scriptedMember()
    await one.member.join()
    one.update(true)
    await settled()
    const [assignment] = one.assignments
    if (assignment === undefined) return expect.unreachable('no assignment')
    return { ...one, assignment }
  }

  const delivery = (position: number): Delivery => ({ position }) as unknown as Delivery

  test('finds a position that a former owner has stored too late, and overwrites it within commitIntervalMs', async () => {
    const { member, stored } = await owner()
    await member.commit(delivery(50))
    for (const stale of [45n, 70n]) {
      stored.set('g', stale)
      await vi.advanceTimersByTimeAsync(COMMIT_INTERVAL_MS)
      expect(stored.get('g')).toBe(50n)
    }
  })

  test('restores its epoch where a former owner has stored a lower one', async () => {
    const { stored, assignment } = await owner()
    stored.set(EPOCH, FORMAT | BigInt(assignment.epoch - 1))
    await vi.advanceTimersByTimeAsync(COMMIT_INTERVAL_MS)
    expect(stored.get(EPOCH)).toBe(FORMAT | BigInt(assignment.epoch))
  })

  test('gives the partition up for a higher epoch, without storing anything', async () => {
    const { member, stored, events, assignment } = await owner()
    stored.set(EPOCH, FORMAT | BigInt(assignment.epoch + 1))
    stored.set('g', 60n)
    await expect(member.commit(delivery(50))).rejects.toMatchObject({ code: 'ABORTED' })
    await settled()
    expect(stored.get('g')).toBe(60n)
    expect(events.slice(-4)).toEqual(['revoked lost', 'reads no more', 'candidacy ends', 'candidacy'])
  })

  test('finds a higher epoch within commitIntervalMs, also when it has nothing to commit', async () => {
    const { member, stored, assignment } = await owner()
    stored.set(EPOCH, FORMAT | BigInt(assignment.epoch + 1))
    await vi.advanceTimersByTimeAsync(COMMIT_INTERVAL_MS)
    expect(member.active).toBe(false)
    expect(member.waiting).toBe(true)
  })

  test('whose seek is under way when the partition is revoked begins nothing any more', async () => {
    const one = await owner()
    one.hold((reference) => reference.startsWith('g:try'))
    const seeking = one.member.seek({ offset: '10' })
    await settled()
    one.update(false)
    await settled()
    one.release()
    await seeking
    await settled()
    expect(one.events.filter((event) => event === 'assigned')).toHaveLength(1)
    expect(one.events.at(-1)).toBe('answers 2')
    expect(one.member.waiting).toBe(true)
  })
})
