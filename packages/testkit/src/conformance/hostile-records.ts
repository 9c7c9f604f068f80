import type { SendOptions } from '@streamswitch/core'
import fc from 'fast-check'
import { expect } from 'vitest'
import { load } from './load.js'
import { HEADER_NAMES } from './odd-values.js'
import type { Suite } from './suite.js'

/** The last moment that a `Date` can hold. */
const MAX_TIMESTAMP = 8_640_000_000_000_000
const MAX_KEY_BYTES = 1024
const MAX_ID_BYTES = 256

/** A message as somebody might send it who wants to break something. */
interface HostileRecord {
  readonly id: string
  readonly key: string | undefined
  readonly payload: Buffer | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly timestamp: number
}

/** Characters that protocols, encodings and languages treat in their own way, among any others. */
const character = fc.oneof(
  { weight: 3, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }) },
  { weight: 2, arbitrary: fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 1 }) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      '\r',
      '\n',
      '\r\n',
      '\0',
      ':',
      ';',
      ',',
      '=',
      '%',
      '%0d%0a',
      '"',
      '\\',
      '&',
      '?',
      '#',
      '/',
      ' ',
      '\t',
      '\u2028',
      '\ufeff',
      '\u{10ffff}',
    ),
  },
)

const text = (maxLength: number): fc.Arbitrary<string> =>
  fc.array(character, { maxLength }).map((parts) => parts.join('').toWellFormed())

// biome-ignore lint/suspicious/noControlCharactersInRegex: what ids and header names may not have
const withoutControls = (value: string): string => value.replace(/[\u0000-\u001f\u007f]/g, '_')

const headerName = fc.oneof(
  fc.constantFrom(...HEADER_NAMES),
  text(40).map((value) => `x${withoutControls(value)}`.slice(0, 200).toWellFormed()),
)

const record: fc.Arbitrary<HostileRecord> = fc.record({
  id: text(60).map((value) => `i${withoutControls(value)}`),
  key: fc.option(text(80), { nil: undefined }),
  payload: fc.option(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    { nil: undefined, freq: 8 },
  ),
  headers: fc
    .array(fc.tuple(headerName, text(80)), { maxLength: 5 })
    .map((pairs) => Object.fromEntries(pairs.filter(([name]) => !name.toLowerCase().startsWith('streamswitch-')))),
  timestamp: fc.oneof(
    fc.integer({ min: 0, max: MAX_TIMESTAMP }),
    fc.constantFrom(0, 1, 999_999_999_999_999, MAX_TIMESTAMP),
  ),
})

/** What arrives is what was sent, whatever it was: nothing is changed, dropped or read as something else. */
export function hostileRecords(suite: Suite): void {
  suite.test('records made to break a protocol arrive as they were sent', {}, async (bench) => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const records = fc
      .sample(fc.uniqueArray(record, { minLength: load(120), maxLength: load(120), selector: ({ id }) => id }), {
        seed,
        numRuns: 1,
      })[0]
      ?.filter(fits)
    const member = await bench.member({ settings: { codec: 'bytes', concurrency: 50 } })
    const producer = bench.producer({ codec: 'bytes' })
    for (const { payload, key, ...options } of records ?? [])
      void bench.ledger.send(
        producer,
        payload,
        (key === undefined ? options : { ...options, key }) as SendOptions & { id: string },
      )
    await bench.handledCount(records?.length ?? 0)
    await bench.ledger.allConfirmed()
    const received = new Map(member.handlings.map((one) => [one.id, one]))
    for (const sent of records ?? []) {
      const got = received.get(sent.id)
      const seen = {
        id: got?.id,
        key: got?.key,
        payload: got?.bytes?.toString('hex'),
        headers: pairs(got?.headers),
        timestamp: got?.timestamp,
      }
      expect(seen, `seed ${seed}`).toEqual({
        ...sent,
        payload: sent.payload?.toString('hex'),
        headers: pairs(sent.headers),
      })
    }
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
  })
}

function fits({ id, key }: HostileRecord): boolean {
  return Buffer.byteLength(id) <= MAX_ID_BYTES && Buffer.byteLength(key ?? '') <= MAX_KEY_BYTES
}

/** Headers as pairs: an object with `__proto__` in it can't be compared. */
function pairs(headers: Readonly<Record<string, string>> = {}): [string, string][] {
  return Object.entries(headers).sort(([left], [right]) => (left < right ? -1 : 1))
}
