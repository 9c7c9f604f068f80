import type { DeadLetterBox, Transport } from '@streamswitch/core'
import { DEAD_LETTER_HEADERS, deadLetterTopic } from '@streamswitch/core'
import { expect } from 'vitest'
import { type Bench, quickRetry } from './bench.js'
import { rejection, thrown } from './expect-error.js'
import type { Member } from './member.js'
import { openRecorder } from './recorder.js'
import type { Suite } from './suite.js'

const POISON = 'poison'

/** What can be done with dead letters: looking at them, sending them to the failed group again, throwing them away. */
export function deadLetterBox(suite: Suite): void {
  suite.describe('the box of dead letters', () => {
    looked(suite)
    replayed(suite)
    refused(suite)
  })
}

/** A group that fails poison until it is repaired, and the box of its dead letters. */
interface Scene {
  readonly box: DeadLetterBox
  readonly failing: Member
  repair(): void
}

async function openScene(suite: Suite, bench: Bench): Promise<Scene> {
  // Who keeps dead letters only elsewhere has its elsewhere.
  const kept = suite.settings.adapter.capabilities.deadLetters === true
  const transport = bench.transport(kept ? {} : { deadLetterTransport: openRecorder().transport })
  let broken = true
  const failing = await bench.member({
    transport,
    handler: ({ id }) => {
      if (broken && id.startsWith(POISON)) throw new TypeError(`can't handle ${id}`)
    },
    settings: { retry: quickRetry(2), concurrency: 1 },
  })
  const box = boxOf(bench, transport)
  return {
    box,
    failing,
    repair() {
      broken = false
    },
  }
}

function boxOf(bench: Bench, transport: Transport): DeadLetterBox {
  return transport.deadLetters(bench.topic, { group: bench.group })
}

async function sendPoison(bench: Bench, { failing }: Scene, count: number): Promise<string[]> {
  const producer = bench.producer()
  const ids = Array.from({ length: count }, (_, index) => `${POISON}-${index}`)
  for (const [index, id] of ids.entries())
    void bench.ledger.send(
      producer,
      { index },
      { id, key: 'k', headers: { odd: 'line\nfeed \u00e9' }, timestamp: 1_600_000_000_000 },
    )
  await bench.until(() => failing.loop.stats().deadLettered === count, `${count} dead letters`)
  return ids
}

async function listed(box: DeadLetterBox): Promise<string[]> {
  return (await box.list()).letters.map(({ id }) => id)
}

function looked(suite: Suite): void {
  suite.test(
    'lists them page by page, and shows one with bytes and headers; looking changes nothing',
    {},
    async (bench) => {
      const scene = await openScene(suite, bench)
      const { box } = scene
      expect(await box.list(), 'before there is any').toEqual({ letters: [], cursor: undefined })
      const started = Date.now()
      const ids = await sendPoison(bench, scene, 5)
      const first = await box.list({ limit: 2 })
      const second = await box.list({ limit: 3, ...(first.cursor === undefined ? {} : { cursor: first.cursor }) })
      const { partition, offset } = scene.failing.handlings.findLast(({ id }) => id === ids[0]) ?? {}
      expect([...first.letters, ...second.letters].map(({ id }) => id)).toEqual(ids)
      expect(second.cursor).toBeUndefined()
      expect(first.letters[0]).toMatchObject({
        id: ids[0],
        key: 'k',
        error: `can't handle ${ids[0]}`,
        code: 'TypeError',
        attempts: 2,
        origin: { topic: bench.topic, group: bench.group, partition, offset },
        timestamp: 1_600_000_000_000,
        size: Buffer.byteLength('{"index":0}'),
      })
      expect(first.letters[0]?.failedAt).toBeGreaterThanOrEqual(started)
      expect((await box.list({ where: ({ id }) => id === ids[3] })).letters.map(({ id }) => id)).toEqual([ids[3]])
      const shown = await box.show(ids[4] ?? '')
      expect(shown.bytes?.toString()).toBe('{"index":4}')
      expect(shown.headers).toEqual({ odd: 'line\nfeed \u00e9' })
      expect(await listed(box), 'all of them are still there').toEqual(ids)
    },
  )
}

function replayed(suite: Suite): void {
  suite.test(
    'replays one, some or all to the failed group alone, as they were, with attempts from 1; discards the rest',
    { groups: 2 },
    async (bench) => {
      const scene = await openScene(suite, bench)
      const { box } = scene
      const [, other = ''] = bench.groups
      await bench.member({ group: other })
      const ids = await sendPoison(bench, scene, 5)
      await bench.handledAll(ids, other)
      scene.repair()
      expect(await box.replay({ ids: [ids[2] ?? '', 'nobody'] })).toEqual({
        count: 1,
        missing: ['nobody'],
        incomplete: [],
      })
      await bench.handledAll([ids[2] ?? ''])
      expect(scene.failing.handlings.filter(({ id }) => id === ids[2]).map(({ attempt }) => attempt)).toEqual([1, 2, 1])
      expect(bench.handled()[0]).toMatchObject({
        id: ids[2],
        key: 'k',
        topic: bench.topic,
        value: { index: 2 },
        headers: { odd: 'line\nfeed \u00e9' },
        timestamp: 1_600_000_000_000,
      })
      expect(Object.keys(bench.handled()[0]?.headers ?? {}), 'nothing of its way is left').toEqual(['odd'])
      expect(await listed(box)).toEqual([ids[0], ids[1], ids[3], ids[4]])
      expect(await box.discard({ where: ({ id }) => id === ids[3] })).toEqual({ count: 1, missing: [], incomplete: [] })
      expect(await box.replay({ all: true })).toEqual({ count: 3, missing: [], incomplete: [] })
      await bench.handledAll([ids[0] ?? '', ids[1] ?? '', ids[4] ?? ''])
      expect(await listed(box)).toEqual([])
      // What was sent last is behind every replay.
      void bench.ledger.send(bench.producer(), 'last', { id: 'last', key: 'k' })
      await bench.handledAll(['last'], other)
      expect(
        bench.handled(other).map(({ id }) => id),
        'the other group got each message once',
      ).toEqual([...ids, 'last'])
      expect(new Set(bench.handled().map(({ id }) => id)).has(ids[3] ?? ''), 'what was discarded never came').toBe(
        false,
      )
    },
  )

  suite.test('what fails again is a new dead letter, and a replay of all comes to an end', {}, async (bench) => {
    const scene = await openScene(suite, bench)
    const ids = await sendPoison(bench, scene, 3)
    expect(await scene.box.replay({ all: true })).toEqual({ count: 3, missing: [], incomplete: [] })
    await bench.until(() => scene.failing.loop.stats().deadLettered === 6, 'the same dead letters again')
    const { letters } = await scene.box.list()
    expect(letters.map(({ id }) => id).sort()).toEqual(ids)
    expect(letters.map(({ attempts }) => attempts)).toEqual([2, 2, 2])
    const shown = await scene.box.show(ids[0] ?? '')
    expect(Object.keys(shown.headers), 'no headers of the first death are left').toEqual(['odd'])
    expect(Object.values<string>(DEAD_LETTER_HEADERS).some((name) => name in shown.headers)).toBe(false)
  })
}

function refused(suite: Suite): void {
  suite.test('refuses what can mean nothing, before any I/O', {}, async (bench) => {
    const kept = suite.settings.adapter.capabilities.deadLetters === true
    if (!kept) {
      const bare = bench.transport({ deadLetterTransport: undefined as never })
      thrown(() => boxOf(bench, bare), 'UNSUPPORTED')
    }
    const { box } = await openScene(suite, bench)
    expect(box.deadLetterTopic).toBe(deadLetterTopic(bench.topic, bench.group))
    await rejection(box.show('nobody'), 'NOT_FOUND')
    for (const selection of [{}, { all: false }, { all: true, ids: ['a'] }, { ids: [] }, { where: 'x' as never }])
      await rejection(box.replay(selection), 'INVALID_ARGUMENT')
    await rejection(box.list({ limit: 0 }), 'INVALID_ARGUMENT')
    await rejection(box.list({ cursor: 'none of ours' }), 'INVALID_ARGUMENT')
    await box.close()
    await rejection(box.list(), 'CLOSED')
  })
}
