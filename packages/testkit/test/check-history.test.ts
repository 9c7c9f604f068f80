import { describe, expect, test } from 'vitest'
import { checkHistory, type HandledMessage, NOTHING_WRONG, type SentMessage } from '../src/ledger/check-history.js'

const KEYS = ['a', 'b', 'c']
const MESSAGES = 5

/** Three keys of five messages each, the keys taking turns, all confirmed. */
function sentMessages(): SentMessage[] {
  return Array.from({ length: KEYS.length * MESSAGES }, (_, position) => {
    const key = KEYS[position % KEYS.length] ?? ''
    return { id: `${key}${Math.floor(position / KEYS.length)}`, key, confirmed: true }
  })
}

/** A history from a line of ids: `a0 a1! a1` handles a0, fails at a1, then handles it. Handlers don't overlap. */
function handledMessages(line: string): HandledMessage[] {
  return line.split(' ').map((word, index) => ({
    id: word.replace('!', ''),
    key: word.slice(0, 1),
    outcome: word.endsWith('!') ? 'failed' : 'succeeded',
    startedAt: 2 * index,
    endedAt: 2 * index + 1,
    abandoned: false,
  }))
}

const CLEAN = 'a0 b0 c0 b1 a1 c1 c2 a2 b2 a3 b3 c3 a4 c4 b4'

function verdict(line: string, gone?: ReadonlySet<string>) {
  return checkHistory(sentMessages(), handledMessages(line), gone)
}

describe('a history that is fine', () => {
  test('keys may be interleaved in any way', () => {
    expect(verdict(CLEAN)).toEqual(NOTHING_WRONG)
  })

  test('failed attempts before a success are no duplicates', () => {
    expect(verdict(CLEAN.replace('a1', 'a1! a1! a1'))).toEqual(NOTHING_WRONG)
  })

  test('a message whose send failed may be handled, or not', () => {
    const sent = sentMessages().map((message) => (message.id === 'b3' ? { ...message, confirmed: false } : message))
    expect(checkHistory(sent, handledMessages(CLEAN))).toEqual(NOTHING_WRONG)
    expect(checkHistory(sent, handledMessages(CLEAN.replace(' b3', '')))).toEqual(NOTHING_WRONG)
  })

  test('what went to the dead letters need not be handled', () => {
    expect(verdict(CLEAN.replace('c2', 'c2! c2!'), new Set(['c2']))).toEqual(NOTHING_WRONG)
  })

  test('messages without a key are in no order', () => {
    const sent = ['1', '2', '3'].map((id): SentMessage => ({ id, key: undefined, confirmed: true }))
    const handled = ['3', '1', '2'].map(
      (id, index): HandledMessage => ({
        id,
        key: undefined,
        outcome: 'succeeded',
        startedAt: index,
        endedAt: 10 - index,
        abandoned: false,
      }),
    )
    expect(checkHistory(sent, handled)).toEqual(NOTHING_WRONG)
  })
})

describe('a doctored history', () => {
  test('a missing message is lost, and nothing else is', () => {
    expect(verdict(CLEAN.replace(' b2', ''))).toEqual({ ...NOTHING_WRONG, lost: ['b2'] })
  })

  test('a message that only ever failed is lost', () => {
    expect(verdict(CLEAN.replace('b2', 'b2!'))).toMatchObject({ lost: ['b2'] })
  })

  test('a message that was never sent is a phantom', () => {
    expect(verdict(`${CLEAN} a9`)).toEqual({ ...NOTHING_WRONG, phantom: ['a9'] })
  })

  test('a message that comes under another key is a phantom there, and lost where it belongs', () => {
    const handled = handledMessages(CLEAN).map((one) => (one.id === 'a2' ? { ...one, key: 'b' } : one))
    expect(checkHistory(sentMessages(), handled)).toEqual({ ...NOTHING_WRONG, phantom: ['a2'], lost: ['a2'] })
  })

  test('a second success is a duplicate', () => {
    expect(verdict(CLEAN.replace('a1', 'a1 a1'))).toEqual({ ...NOTHING_WRONG, duplicated: ['a1'] })
  })

  test('two messages of a key that changed places are a reorder', () => {
    expect(verdict('a0 a2 a1 a3 a4 b0 b1 b2 b3 b4 c0 c1 c2 c3 c4')).toEqual({
      ...NOTHING_WRONG,
      reordered: ['a1'],
      restarts: 1,
    })
  })

  test('a message that was overtaken by all its successors is a reorder, once', () => {
    expect(verdict('a1 a2 a3 a4 a0 b0 b1 b2 b3 b4 c0 c1 c2 c3 c4').reordered).toEqual(['a0'])
  })

  test('a retry that was overtaken is a reorder although it started first', () => {
    expect(verdict('a0 a1! a2 a1 a3 a4 b0 b1 b2 b3 b4 c0 c1 c2 c3 c4').reordered).toEqual(['a1'])
  })

  test('every one of many exchanged neighbours is found', () => {
    const words = CLEAN.split(' ')
    const found = words.map((word, index) => {
      const next = words.findIndex((other, position) => position > index && other.startsWith(word.slice(0, 1)))
      if (next < 0) return undefined
      const exchanged = words.with(index, words[next] ?? '').with(next, word)
      return verdict(exchanged.join(' ')).reordered
    })
    const expected = words.map((word) => (word.endsWith('4') ? undefined : [word]))
    expect(found).toEqual(expected)
  })
})

describe('a message that was settled twice where records are not known', () => {
  const handled = handledMessages(CLEAN.replace('a1', 'a1 a1')).map((one) => ({ ...one, settled: true }))
  const sentWith = (change: Partial<SentMessage>): SentMessage[] =>
    sentMessages().map((message) => (message.id === 'a1' ? { ...message, ...change } : message))

  test('is found where it was sent once', () => {
    expect(checkHistory(sentMessages(), handled)).toMatchObject({ duplicated: ['a1'], settledTwice: ['a1'] })
  })

  test.each([{ resent: true }, { confirmed: false }, { confirmed: undefined }])(
    'proves nothing where it may have been stored twice: %j',
    (change) => {
      expect(checkHistory(sentWith(change), handled)).toMatchObject({ duplicated: ['a1'], settledTwice: [] })
    },
  )

  test('is found for all that where both come from one record', () => {
    const known = handled.map((one) => ({ ...one, record: `0/${one.id}` }))
    expect(checkHistory(sentWith({ resent: true }), known)).toMatchObject({ settledTwice: ['a1'] })
  })
})

describe('redelivery', () => {
  test('a run that restarts at an earlier message and goes on in order duplicates, and reorders nothing', () => {
    const line = 'a0 a1 a2 a1 a2 a3 a4 b0 b1 b2 b3 b4 c0 c1 c2 c3 c4'
    expect(verdict(line)).toEqual({ ...NOTHING_WRONG, duplicated: ['a1', 'a2'], restarts: 1 })
  })

  test('a run that restarts and then skips a message that never succeeded is a reorder', () => {
    const line = 'a0 a1 a1 a3 a2 a4 b0 b1 b2 b3 b4 c0 c1 c2 c3 c4'
    expect(verdict(line)).toMatchObject({ duplicated: ['a1'], reordered: ['a2'] })
  })
})

describe('handlers of one key at the same time', () => {
  const at = (id: string, startedAt: number, endedAt: number | undefined, abandoned = false): HandledMessage => ({
    id,
    key: 'a',
    outcome: endedAt === undefined ? 'running' : 'succeeded',
    startedAt,
    endedAt,
    abandoned,
  })
  const sent: SentMessage[] = ['a0', 'a1'].map((id) => ({ id, key: 'a', confirmed: true }))

  test('overlap, even where they end in order', () => {
    expect(checkHistory(sent, [at('a0', 1, 3), at('a1', 2, 4)])).toEqual({ ...NOTHING_WRONG, overlapping: ['a1'] })
  })

  test('overlap where the first one still runs', () => {
    expect(checkHistory(sent, [at('a0', 1, undefined), at('a1', 2, 4)])).toMatchObject({
      overlapping: ['a1'],
      lost: ['a0'],
    })
  })

  test('one that outlived its revocation is a zombie, not an overlap', () => {
    const history = [at('a0', 1, 6, true), at('a0', 2, 3), at('a1', 4, 5)]
    expect(checkHistory(sent, history)).toMatchObject({
      overlapping: [],
      zombies: ['a0', 'a1'],
      duplicated: ['a0'],
      reordered: [],
    })
  })

  test('one that began behind the new owner and outlived its revocation is a zombie as well', () => {
    const history = [at('a0', 1, 4), at('a0', 2, 5, true), at('a1', 6, 7)]
    expect(checkHistory(sent, history)).toMatchObject({ overlapping: [], zombies: ['a0'], duplicated: ['a0'] })
  })

  test('beside a zombie, two that nobody has revoked overlap all the same', () => {
    const history = [at('a0', 1, 9, true), at('a0', 2, 5), at('a1', 3, 6)]
    expect(checkHistory(sent, history)).toMatchObject({ overlapping: ['a1'], zombies: ['a0'] })
  })

  test('different keys may overlap', () => {
    const other = { ...at('b0', 2, 4), key: 'b' }
    expect(
      checkHistory([...sent.slice(0, 1), { id: 'b0', key: 'b', confirmed: true }], [at('a0', 1, 3), other]),
    ).toEqual(NOTHING_WRONG)
  })
})
