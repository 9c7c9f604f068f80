import { DEAD_LETTER_HEADERS, deadLetterTopic, type ErrorCode, StreamError } from '@streamswitch/core'
import { expect } from 'vitest'
import { type Bench, type MemberOptions, quickRetry } from './bench.js'
import { within } from './collect.js'
import { thrown } from './expect-error.js'
import { leftFor } from './expect-history.js'
import { openRecorder } from './recorder.js'
import type { Suite } from './suite.js'

const POISON = 'poison'

/** Items 10 (what needs no killed process) and 11: what can't be handled is kept elsewhere before it is acked. */
export function deadLetters(suite: Suite): void {
  suite.describe('dead letters', () => {
    if (suite.settings.adapter.capabilities.deadLetters === true) kept(suite)
    else needsTarget(suite)
    written(suite)
    refused(suite, 'UNAVAILABLE', 'is down')
    refused(suite, 'PERMISSION_DENIED', 'refuses for good')
  })
}

/** A handler that fails for poison, and only for it. */
function failing(message: { readonly id: string }): void {
  if (message.id.startsWith(POISON)) throw new TypeError(`can't handle ${message.id}`)
}

/** A member whose dead letters go to the recorder. */
function recordingMember(bench: Bench, recorder: ReturnType<typeof openRecorder>, options: MemberOptions = {}) {
  const transport = bench.transport({ deadLetterTransport: recorder.transport })
  const settings = { retry: quickRetry(3), concurrency: 1, ...options.settings }
  return bench.member({ handler: failing, transport, ...options, settings })
}

/** The transport keeps dead letters itself. */
function kept(suite: Suite): void {
  suite.test(
    "by default they go to the group's own topic, with original bytes, key, headers, id and time, and say what happened",
    {},
    async (bench) => {
      const member = await bench.member({ handler: failing, settings: { retry: quickRetry(3), concurrency: 1 } })
      const target = deadLetterTopic(bench.topic, bench.group)
      const reader = {
        topic: target,
        group: `${bench.group}.reader`,
        settings: { codec: 'bytes', partitions: undefined },
      } as const
      // A transport that keeps nothing without a group needs the reader first; others must keep it for who comes later.
      const early = suite.has('retainsWithoutGroup') ? undefined : await bench.member(reader)
      const producer = bench.producer({ codec: 'bytes' })
      const body = Buffer.from('{"the exact":   "bytes"}')
      const timestamp = 1_600_000_000_000
      const started = Date.now()
      const receipt = bench.ledger.send(producer, body, {
        id: POISON,
        key: 'k',
        headers: { plain: 'yes', odd: 'line\nfeed é' },
        timestamp,
      })
      await bench.until(() => member.loop.stats().deadLettered === 1, 'the dead letter')
      const letters = early ?? (await bench.member(reader))
      await bench.until(() => letters.succeeded.length === 1, 'the dead letter at its reader')
      const letter = letters.handlings[0]
      const { partition, offset } = member.handlings[0] ?? {}
      expect(letter).toMatchObject({ id: POISON, key: 'k', timestamp, topic: target })
      expect(letter?.bytes?.equals(body)).toBe(true)
      expect(letter?.headers).toMatchObject({
        plain: 'yes',
        odd: 'line\nfeed é',
        ...expectedHeaders(bench, { attempts: 3, partition, offset, timestamp }),
        [DEAD_LETTER_HEADERS.error]: expect.stringContaining("can't handle poison"),
        [DEAD_LETTER_HEADERS.errorCode]: 'TypeError',
      })
      expect(Number(letter?.headers[DEAD_LETTER_HEADERS.failedAt])).toBeGreaterThanOrEqual(started)
      expect((await receipt).id).toBe(POISON)
      await member.leave()
      expect(await leftFor(bench, ['k']), 'acked once the dead letter was confirmed').toEqual([])
      await cleared(bench, target)
    },
  )

  suite.test('a topic of its own choice', {}, async (bench) => {
    const target = `${bench.topic}.failed`
    const member = await bench.member({
      handler: failing,
      settings: { retry: quickRetry(1), deadLetter: { topic: target } },
    })
    const reader = { topic: target, group: `${bench.group}.reader` } as const
    const early = suite.has('retainsWithoutGroup') ? undefined : await bench.member(reader)
    void bench.ledger.send(bench.producer(), undefined, { id: POISON })
    await bench.until(() => member.loop.stats().deadLettered === 1, 'the dead letter')
    const letters = early ?? (await bench.member(reader))
    await bench.until(() => letters.succeeded.length === 1, 'the dead letter at its reader')
    expect(letters.handlings[0], 'a tombstone stays one').toMatchObject({
      id: POISON,
      bytes: undefined,
      key: undefined,
    })
    await cleared(bench, target)
  })
}

function needsTarget(suite: Suite): void {
  suite.test('asked for without a transport that keeps them, they are refused with UNSUPPORTED', {}, async (bench) => {
    const transport = bench.transport({ deadLetterTransport: undefined as never })
    const error = thrown(() => transport.consumer(bench.topic, { group: bench.group, deadLetter: true }), 'UNSUPPORTED')
    expect(error.message).toContain('deadLetterTransport')
  })
}

/** What is written, seen at a target that keeps a record: the same on every transport. */
function written(suite: Suite): void {
  suite.test(
    'attempts are bounded, neighbours of the same key and of others flow, in order',
    { partitions: suite.partitions },
    async (bench) => {
      const recorder = openRecorder(() => bench.watch.changed())
      const member = await recordingMember(bench, recorder, { settings: { concurrency: 8 } })
      const producer = bench.producer()
      for (let index = 0; index < 30; index += 1) {
        const id = index % 10 === 3 ? `${POISON}-${index}` : `message-${index}`
        void bench.ledger.send(producer, index, { id, key: `key-${index % 3}` })
      }
      await bench.handledCount(27)
      await bench.until(() => recorder.records.length === 3, 'three dead letters')
      await bench.ledger.allConfirmed()
      const poisonous = new Set(bench.ledger.ids().filter((id) => id.startsWith(POISON)))
      expect(bench.verdict(bench.group, bench.topic, poisonous)).toMatchObject({
        lost: [],
        phantom: [],
        duplicated: [],
        reordered: [],
        overlapping: [],
      })
      expect(recorder.records.map((record) => record.id).sort()).toEqual([...poisonous].sort())
      for (const id of poisonous) {
        const attempts = member.handlings.filter((one) => one.id === id).map((one) => one.attempt)
        expect(attempts, 'as many attempts as retry.attempts says').toEqual([1, 2, 3])
      }
      expect(recorder.records.every((record) => record.topic === deadLetterTopic(bench.topic, bench.group))).toBe(true)
      expect(member.loop.stats()).toMatchObject({ handled: 27, deadLettered: 3 })
    },
  )

  suite.test("what can't be decoded goes at once, with the reason, without a handler start", {}, async (bench) => {
    const recorder = openRecorder(() => bench.watch.changed())
    const events: { readonly id: string; readonly attempts: number }[] = []
    const member = await recordingMember(bench, recorder)
    member.loop.on('deadLetter', ({ id, attempts }) => events.push({ id, attempts }))
    const producer = bench.producer({ codec: 'bytes' })
    const body = Buffer.from('{ no JSON')
    void bench.ledger.send(producer, Buffer.from('1'), { id: 'before', key: 'k' })
    void bench.ledger.send(producer, body, { id: 'undecodable', key: 'k', headers: { plain: 'yes' } })
    void bench.ledger.send(producer, Buffer.from('2'), { id: 'after', key: 'k' })
    await bench.handledAll(['before', 'after'])
    await bench.ledger.allConfirmed()
    expect(
      member.handlings.map((one) => one.id),
      'no handler saw it',
    ).toEqual(['before', 'after'])
    expect(recorder.records).toHaveLength(1)
    expect(recorder.records[0]).toMatchObject({
      id: 'undecodable',
      key: 'k',
      headers: {
        plain: 'yes',
        ...expectedHeaders(bench, { attempts: 1 }),
        [DEAD_LETTER_HEADERS.errorCode]: 'SERIALIZATION',
      },
    })
    expect(recorder.records[0]?.payload?.equals(body)).toBe(true)
    expect(events).toEqual([{ id: 'undecodable', attempts: 1 }])
  })

  suite.test("what the schema refuses, and errors that retry can't help, go at once", {}, async (bench) => {
    const recorder = openRecorder(() => bench.watch.changed())
    const schema = {
      '~standard': {
        version: 1,
        vendor: 'testkit',
        validate: (value: unknown) => (value === 'bad' ? { issues: [{ message: 'bad value' }] } : { value }),
      },
    } as const
    const hopeless = (message: { readonly id: string }): void => {
      if (message.id === 'hopeless') throw new StreamError('no use', { code: 'INVALID_ARGUMENT' })
    }
    const member = await recordingMember(bench, recorder, { handler: hopeless, settings: { schema } })
    const producer = bench.producer()
    void bench.ledger.send(producer, 'bad', { id: 'invalid' })
    void bench.ledger.send(producer, 'good', { id: 'hopeless' })
    void bench.ledger.send(producer, 'good', { id: 'good' })
    await bench.handledAll(['good'])
    await bench.until(() => recorder.records.length === 2, 'two dead letters')
    await bench.ledger.allConfirmed()
    const reasons = Object.fromEntries(
      recorder.records.map((record) => [record.id, record.headers?.[DEAD_LETTER_HEADERS.errorCode]]),
    )
    expect(reasons).toEqual({ invalid: expect.any(String), hopeless: 'INVALID_ARGUMENT' })
    expect(recorder.records.map((record) => record.headers?.[DEAD_LETTER_HEADERS.attempts])).toEqual(['1', '1'])
    expect(member.handlings.map((one) => one.id).sort()).toEqual(['good', 'hopeless'])
  })
}

/** Item 11. */
function refused(suite: Suite, code: ErrorCode, how: string): void {
  suite.test(
    `while the target ${how}, the original is not acked: the next member gets it; once it accepts, it is`,
    {},
    async (bench) => {
      const recorder = openRecorder(() => bench.watch.changed())
      recorder.refuse(code)
      const first = await recordingMember(bench, recorder, { settings: { concurrency: 4 } })
      const producer = bench.producer()
      void bench.ledger.send(producer, 1, { id: POISON, key: 'k' })
      void bench.ledger.send(producer, 2, { id: 'behind', key: 'k' })
      void bench.ledger.send(producer, 3, { id: 'other', key: 'other' })
      await bench.handledAll(['other'])
      await bench.until(() => recorder.refusals >= 2, 'two refused dead letters')
      expect(first.loop.stats()).toMatchObject({ deadLettered: 0 })
      expect(
        bench.handled().map((one) => one.id),
        'its key waits',
      ).toEqual(['other'])
      await within(first.leave(300), 'the end of close')
      const second = await recordingMember(bench, recorder)
      await bench.until(() => second.handlings.some((one) => one.id === POISON), 'the message at the next member')
      recorder.accept()
      await bench.handledAll(['behind'])
      expect(recorder.records.map((record) => record.id)).toEqual([POISON])
      await bench.ledger.allConfirmed()
      await second.leave()
      expect(await leftFor(bench, ['k', 'other'])).toEqual([])
      expect(recorder.records).toHaveLength(1)
    },
  )
}

interface Origin {
  readonly attempts: number
  readonly partition?: number | undefined
  readonly offset?: string | undefined
  readonly timestamp?: number
}

function expectedHeaders(bench: Bench, origin: Origin): Record<string, unknown> {
  return {
    [DEAD_LETTER_HEADERS.attempts]: String(origin.attempts),
    [DEAD_LETTER_HEADERS.topic]: bench.topic,
    [DEAD_LETTER_HEADERS.group]: bench.group,
    [DEAD_LETTER_HEADERS.partition]: origin.partition === undefined ? expect.any(String) : String(origin.partition),
    [DEAD_LETTER_HEADERS.offset]: origin.offset ?? expect.any(String),
    [DEAD_LETTER_HEADERS.timestamp]: origin.timestamp === undefined ? expect.any(String) : String(origin.timestamp),
  }
}

async function cleared(bench: Bench, topic: string): Promise<void> {
  const transport = bench.administration()
  await transport.admin.deleteTopic(transport.topicSpec(topic))
}
