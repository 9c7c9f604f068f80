import { createHash } from 'node:crypto'
import { DEAD_LETTER_HEADERS } from '@streamswitch/core'
import { expect, test } from 'vitest'
import { quickRetry } from './bench.js'
import { within } from './collect.js'
import { openRecorder } from './recorder.js'
import type { ForeignClient, RawFields } from './settings.js'
import type { Suite } from './suite.js'

/** Item 16: others write, we read; we write, others read. */
export function foreignClient(suite: Suite): void {
  suite.describe('foreign clients', () => {
    const { foreign } = suite.settings
    if (!suite.has('multiProcess')) return suite.refused('multiProcess')
    if (foreign === undefined) {
      test('a foreign client is given', () => {
        throw new Error(
          'this transport takes other processes, so the suite needs `foreign`: a client other than the adapter’s own driver',
        )
      })
      return
    }
    writes(suite, foreign)
    writesOddFields(suite, foreign)
    if (foreign.oversizedBytes !== undefined) writesTooMuch(suite, foreign, foreign.oversizedBytes)
    reads(suite, foreign)
  })
}

function writes(suite: Suite, foreign: ForeignClient): void {
  suite.test(`${foreign.name} writes, we read, with defaults for all it didn't say`, {}, async (bench) => {
    const member = await bench.member()
    const producer = bench.producer()
    await producer.init()
    const before = Date.now()
    await within(
      foreign.write(bench.topic, { body: Buffer.from('{"from":"outside","text":"é 🦉"}'), key: 'k' }, bench.group),
      'the foreign write',
    )
    await within(foreign.write(bench.topic, { body: Buffer.from('[1,2]') }, bench.group), 'the foreign write')
    await bench.until(() => member.succeeded.length === 2, 'both foreign messages')
    const keyed = member.handlings.find((one) => one.key === 'k')
    const keyless = member.handlings.find((one) => one.key === undefined)
    expect(keyed?.value).toEqual({ from: 'outside', text: 'é 🦉' })
    expect(keyless?.value).toEqual([1, 2])
    for (const one of [keyed, keyless]) {
      expect(one).toMatchObject({ topic: bench.topic, attempt: 1 })
      expect(one?.id).not.toBe('')
      expect(Math.abs((one?.timestamp ?? 0) - before), 'a timestamp of now').toBeLessThan(60_000)
      expect(one?.offset).not.toBe('')
    }
    expect(keyed?.id, 'ids tell messages apart').not.toBe(keyless?.id)
  })

  suite.test(`bytes of ${foreign.name} arrive as they are; a failing handler gets them again`, {}, async (bench) => {
    const body = Buffer.from(Array.from({ length: 256 }, (_, value) => value))
    const member = await bench.member({
      settings: { codec: 'bytes', retry: quickRetry(5) },
      handler: (message) => {
        if (message.attempt < 2) throw new Error('once more')
      },
    })
    await bench.producer().init()
    await within(foreign.write(bench.topic, { body, key: 'k' }, bench.group), 'the foreign write')
    await bench.until(() => member.succeeded.length === 1, 'the foreign message')
    expect(member.handlings.map((one) => one.attempt)).toEqual([1, 2])
    expect(member.handlings[1]?.bytes?.equals(body)).toBe(true)
    expect(member.handlings[1]?.id, 'the same message has the same id').toBe(member.handlings[0]?.id)
  })

  suite.test(
    `what ${foreign.name} wrote and nobody can decode is dead-lettered; its neighbours flow`,
    {},
    async (bench) => {
      const recorder = openRecorder(() => bench.watch.changed())
      const member = await bench.member({ transport: bench.transport({ deadLetterTransport: recorder.transport }) })
      await bench.producer().init()
      await within(
        foreign.write(bench.topic, { body: Buffer.from('\ufeffno JSON'), key: 'k' }, bench.group),
        'the foreign write',
      )
      await within(
        foreign.write(bench.topic, { body: Buffer.from('\ufeff"fine"'), key: 'k' }, bench.group),
        'the foreign write',
      )
      await bench.until(
        () => member.succeeded.length === 1 && recorder.records.length === 1,
        'the good message, and the bad one in the dead letters',
      )
      expect(member.handlings[0]?.value, 'read with its byte order mark').toBe('fine')
      expect(recorder.records[0]?.payload?.toString(), 'as it came').toBe('\ufeffno JSON')
      expect(recorder.records[0]?.headers?.[DEAD_LETTER_HEADERS.errorCode]).toBe('SERIALIZATION')
    },
  )
}

/** Ids, timestamps and headers that could not be sent are brought within the limits when they arrive, on every transport alike. */
function writesOddFields(suite: Suite, foreign: ForeignClient): void {
  const all = foreign.raw === 'everything'
  const long = 'i'.repeat(20_000)
  const forged = 'a\r\n2026-01-01 ERROR forged \u001b[2J'
  suite.test(`odd ids, timestamps and headers of ${foreign.name} arrive within the limits`, {}, async (bench) => {
    const member = await bench.member()
    await bench.producer().init()
    const before = Date.now()
    const odd: RawFields[] = [{ id: '' }, { id: '' }, { id: long }]
    if (all) {
      odd.push(
        { id: long },
        { id: forged },
        { timestamp: 'abc' },
        { timestamp: '9'.repeat(400) },
        { timestamp: '8640000000000001' },
      )
      odd.push({ timestamp: '-1' }, { headers: { tenant: 'acme', large: 'x'.repeat(40_000) } })
    }
    for (const [index, raw] of odd.entries()) {
      const write = foreign.write(bench.topic, { body: Buffer.from(String(index)), key: 'k', raw }, bench.group)
      await within(write, 'the foreign write')
    }
    await bench.until(() => member.succeeded.length === odd.length, 'all foreign messages')
    const [empty, other, first, again, escaped] = member.handlings
    expect(empty?.id, 'an empty id is none').not.toBe('')
    expect(empty?.id, 'messages without id are told apart').not.toBe(other?.id)
    expect(first?.id, 'a long id is known by its digest').toBe(digest(long))
    for (const { timestamp } of member.handlings)
      expect(Math.abs(timestamp - before), 'a timestamp of now').toBeLessThan(60_000)
    // On HTTP the same id again is a resend, and isn't handled again.
    if (!all) return
    expect(again?.id).toBe(digest(long))
    expect(escaped?.id).toBe(digest(forged))
    expect(member.handlings.at(-1)?.headers, 'what is beyond the limit is in native alone').toEqual({ tenant: 'acme' })
  })
}

/** What could be received can be dead-lettered: whole, or as a substitute that says what is missing. */
function writesTooMuch(suite: Suite, foreign: ForeignClient, bytes: number): void {
  suite.test(
    `a failing message of ${foreign.name} beyond the sender's own limit is dead-lettered; its key goes on`,
    {},
    async (bench) => {
      const member = await bench.member({
        settings: { codec: 'bytes', retry: quickRetry(1) },
        handler: (message) => {
          if ((message.bytes?.length ?? 0) > 1_000) throw new Error('too much')
        },
      })
      await bench.producer().init()
      const large = Buffer.alloc(bytes, 'x')
      await within(foreign.write(bench.topic, { body: large, key: 'k' }, bench.group), 'the foreign write')
      await within(
        foreign.write(bench.topic, { body: Buffer.from('small'), key: 'k' }, bench.group),
        'the foreign write',
      )
      await bench.until(() => member.succeeded.length === 1, 'the message behind it')
      await using box = bench.transport().deadLetters(bench.topic, { group: bench.group })
      const { letters } = await within(box.list(), 'the dead letters')
      expect(letters).toHaveLength(1)
      const [letter] = letters
      if (letter?.incomplete === undefined) expect(letter?.size).toBe(bytes)
      else {
        expect(letter.incomplete).toBe(`payload ${bytes} bytes`)
        const replayed = await within(box.replay({ all: true }), 'the replay')
        expect(replayed, 'what is not whole is not replayed').toMatchObject({ count: 0, incomplete: [letter.id] })
      }
      expect((await within(box.discard({ all: true }), 'the discard')).count).toBe(1)
    },
  )
}

function digest(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('hex')}`
}

function reads(suite: Suite, foreign: ForeignClient): void {
  suite.test(
    `we write, ${foreign.name} reads the encoded values and nothing wrapped around them`,
    { purpose: 'foreign-read' },
    async (bench) => {
      await bench.transport().admin.provision(bench.transport().topicSpec(bench.topic, { partitions: 1 }))
      await foreign.prepareRead?.(bench.topic, { topics: bench.topics, groups: bench.groups, purpose: 'foreign-read' })
      const reading = foreign.read(bench.topic, 3)
      const producer = bench.producer()
      void bench.ledger.send(producer, { text: 'é 🦉', number: 1 }, { key: 'k', headers: { plain: 'yes' } })
      void bench.ledger.send(producer, [1, 2], { key: 'k' })
      void bench.ledger.send(producer, 'plain text', { key: 'k' })
      const records = await within(reading, 'three records at the foreign client')
      await bench.ledger.allConfirmed()
      expect(records.map((record) => record.body.toString())).toEqual([
        '{"text":"é 🦉","number":1}',
        '[1,2]',
        '"plain text"',
      ])
      for (const record of records) if (record.key !== undefined) expect(record.key).toBe('k')
    },
  )
}
