import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { NOTHING_WRONG } from '../src/ledger/check-history.js'
import { LedgerReader } from '../src/ledger/ledger-reader.js'
import { LedgerWriter, ledgerFile } from '../src/ledger/ledger-writer.js'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'streamswitch-ledger-'))
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

const CLEAN = { ...NOTHING_WRONG, torn: [] }

/** Three messages under one key, sent and confirmed by one process, handled and settled by another one. */
function writeClean(): void {
  const producer = new LedgerWriter(folder, 'producer', 1)
  const consumer = new LedgerWriter(folder, 'consumer', 2)
  for (const id of ['m0', 'm1', 'm2']) {
    producer.write({ did: 'send', id, key: 'k' })
    producer.write({ did: 'confirmed', id })
  }
  ;['m0', 'm1', 'm2'].forEach((id, handling) => {
    consumer.write({ did: 'start', handling, id, key: 'k', attempt: 1 })
    consumer.write({ did: 'succeeded', handling })
    consumer.write({ did: 'settled', handling })
  })
}

/** Changes the lines of one file. */
function doctor(name: string, change: (lines: string[]) => string[]): void {
  const file = ledgerFile(folder, name)
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  writeFileSync(file, `${change(lines).join('\n')}\n`)
}

const verdict = () => new LedgerReader(folder).refresh().verdict()

describe('a ledger', () => {
  test('that is clean has nothing wrong, counts right and is complete', () => {
    writeClean()
    const reader = new LedgerReader(folder).refresh()
    expect(reader.verdict()).toEqual(CLEAN)
    expect(reader.counts).toEqual({ sent: 3, confirmed: 3, handled: 3 })
    expect(reader.complete).toBe(true)
  })

  test('is read piece by piece, wherever a piece ends, in the middle of a character as well', () => {
    const whole = new LedgerWriter(folder, 'whole', 1)
    for (const id of ['ä', '日本', '😀']) {
      whole.write({ did: 'send', id })
      whole.write({ did: 'confirmed', id })
    }
    const bytes = readFileSync(ledgerFile(folder, 'whole'))
    rmSync(ledgerFile(folder, 'whole'))
    const reader = new LedgerReader(folder)
    for (let at = 0; at < bytes.length; at += 7) {
      appendFileSync(ledgerFile(folder, 'pieces'), bytes.subarray(at, at + 7))
      reader.refresh()
    }
    expect(reader.sends.map(({ id, confirmed }) => [id, confirmed])).toEqual([
      ['ä', true],
      ['日本', true],
      ['😀', true],
    ])
    expect(reader.verdict().torn).toEqual([])
  })

  test('takes a message that was sent again after a restart for one', () => {
    const first = new LedgerWriter(folder, 'producer', 1)
    first.write({ did: 'send', id: 'm0', key: 'k' })
    const second = new LedgerWriter(folder, 'producer', 2)
    second.write({ did: 'send', id: 'm0', key: 'k' })
    second.write({ did: 'confirmed', id: 'm0' })
    const reader = new LedgerReader(folder).refresh()
    expect(reader.sends).toMatchObject([{ id: 'm0', calls: 2, confirmed: true }])
    expect(reader.complete).toBe(false)
  })
})

describe('the checker finds in a doctored ledger', () => {
  test('a lost message: no handler succeeded with it', () => {
    writeClean()
    doctor('consumer', (lines) => lines.filter((line) => !line.includes('"handling":1')))
    expect(verdict()).toEqual({ ...CLEAN, lost: ['m1'] })
  })

  test('a lost message: its only handler failed', () => {
    writeClean()
    doctor('consumer', (lines) =>
      lines
        .filter((line) => !line.includes('"settled","handling":1'))
        .map((line) => line.replace('"succeeded","handling":1', '"failed","handling":1')),
    )
    expect(verdict()).toEqual({ ...CLEAN, lost: ['m1'] })
  })

  test('a phantom: nobody has sent it', () => {
    writeClean()
    doctor('producer', (lines) => lines.filter((line) => !line.includes('"m1"')))
    expect(verdict()).toMatchObject({ lost: [], phantom: ['m1'] })
  })

  test('a duplicate, and that both were settled', () => {
    writeClean()
    doctor('consumer', (lines) => [
      ...lines,
      ...lines.slice(6, 9).map((line, index) => {
        const parsed = JSON.parse(line) as { at: number }
        return JSON.stringify({ ...parsed, handling: 9, at: parsed.at + 1_000_000 + index })
      }),
    ])
    expect(verdict()).toEqual({ ...CLEAN, duplicated: ['m2'], settledTwice: ['m2'] })
  })

  describe('a message that is settled twice', () => {
    /** Another handling of m2, of its record or of another one, settled as well. */
    function handleAgain(record?: { readonly partition: number; readonly offset: string }): void {
      if (record !== undefined)
        doctor('consumer', (lines) =>
          lines.map((line) => line.replace('"id":"m2",', '"id":"m2","partition":0,"offset":"7",')),
        )
      const other = new LedgerWriter(folder, 'other', 3)
      other.write({ did: 'start', handling: 0, id: 'm2', key: 'k', attempt: 1, ...record })
      other.write({ did: 'succeeded', handling: 0 })
      other.write({ did: 'settled', handling: 0 })
    }

    test('of the same record', () => {
      writeClean()
      handleAgain({ partition: 0, offset: '7' })
      expect(verdict()).toEqual({ ...CLEAN, duplicated: ['m2'], settledTwice: ['m2'] })
    })

    test('and not one that was stored twice, each of its records settled once: a duplicate only', () => {
      writeClean()
      handleAgain({ partition: 0, offset: '8' })
      expect(verdict()).toEqual({ ...CLEAN, duplicated: ['m2'] })
    })

    test('nor one that was resent, where records are not known', () => {
      writeClean()
      doctor('producer', (lines) =>
        lines.map((line) => line.replace('"confirmed","id":"m2"', '"confirmed","id":"m2","resent":true')),
      )
      handleAgain()
      expect(verdict()).toEqual({ ...CLEAN, duplicated: ['m2'] })
    })

    test('nor one whose first ack had no answer before the connection was lost', () => {
      writeClean()
      new LedgerWriter(folder, 'consumer', 2).write({ did: 'reconnecting', note: 'read ECONNRESET' })
      handleAgain()
      expect(verdict()).toEqual({ ...CLEAN, duplicated: ['m2'] })
    })

    test('but one whose ack was answered before the connection was lost', () => {
      writeClean()
      handleAgain({ partition: 0, offset: '7' })
      new LedgerWriter(folder, 'consumer', 2).write({ did: 'reconnecting', note: 'read ECONNRESET' })
      expect(verdict()).toEqual({ ...CLEAN, duplicated: ['m2'], settledTwice: ['m2'] })
    })

    test('nor one at the same position of another partition', () => {
      writeClean()
      handleAgain({ partition: 1, offset: '7' })
      expect(verdict()).toEqual({ ...CLEAN, duplicated: ['m2'] })
    })
  })

  test('a reorder', () => {
    writeClean()
    doctor('consumer', (lines) =>
      lines.map((line) =>
        line.includes('"start"')
          ? line.replace(/"id":"m([12])"/, (_all, number: string) => `"id":"m${3 - Number(number)}"`)
          : line,
      ),
    )
    expect(verdict()).toEqual({ ...CLEAN, reordered: ['m1'], restarts: 1 })
  })

  test('a torn last line, and what it says is not believed', () => {
    writeClean()
    doctor('consumer', (lines) => lines.filter((line) => !line.includes('"settled","handling":2')))
    const file = ledgerFile(folder, 'consumer')
    writeFileSync(file, readFileSync(file, 'utf8').slice(0, -12))
    const found = verdict()
    expect(found).toMatchObject({ lost: ['m2'], phantom: [] })
    expect(found.torn).toEqual([expect.stringContaining('consumer.jsonl: {"did":"succeeded","handling":2')])
  })

  test('a torn line that a later life has gone on behind', () => {
    writeClean()
    const file = ledgerFile(folder, 'consumer')
    writeFileSync(file, readFileSync(file, 'utf8').slice(0, -12))
    const next = new LedgerWriter(folder, 'consumer', 3)
    next.write({ did: 'start', handling: 0, id: 'm2', key: 'k', attempt: 2 })
    next.write({ did: 'succeeded', handling: 0 })
    const found = verdict()
    expect(found).toMatchObject({ duplicated: ['m2'], settledTwice: [], lost: [] })
    expect(found.torn).toHaveLength(1)
  })
})

describe('what became of processes', () => {
  const start = { did: 'start', handling: 1, id: 'm0', key: 'k', attempt: 1 } as const

  function sentOnce(): void {
    const producer = new LedgerWriter(folder, 'producer', 1)
    producer.write({ did: 'send', id: 'm0', key: 'k' })
    producer.write({ did: 'confirmed', id: 'm0' })
  }

  test('the handler of a killed process ended with it: the next one overlaps nothing', () => {
    sentOnce()
    new LedgerWriter(folder, 'a', 2).write(start)
    new LedgerWriter(folder, 'a.witness', 1).writeOf('a', 2, { did: 'killed' })
    const b = new LedgerWriter(folder, 'b', 3)
    b.write(start)
    b.write({ did: 'succeeded', handling: 1 })
    expect(verdict()).toEqual(CLEAN)
  })

  test('without word of its death it overlaps', () => {
    sentOnce()
    new LedgerWriter(folder, 'a', 2).write(start)
    const b = new LedgerWriter(folder, 'b', 3)
    b.write(start)
    b.write({ did: 'succeeded', handling: 1 })
    expect(verdict()).toEqual({ ...CLEAN, overlapping: ['m0'] })
  })

  test('a handler that its process froze in is a zombie when another one went on', () => {
    sentOnce()
    const a = new LedgerWriter(folder, 'a', 2)
    a.write(start)
    const witness = new LedgerWriter(folder, 'a.witness', 1)
    witness.writeOf('a', 2, { did: 'frozen' })
    const b = new LedgerWriter(folder, 'b', 3)
    b.write(start)
    b.write({ did: 'succeeded', handling: 1 })
    b.write({ did: 'settled', handling: 1 })
    witness.writeOf('a', 2, { did: 'resumed' })
    a.write({ did: 'succeeded', handling: 1, abandoned: true })
    a.write({ did: 'unsettled', handling: 1, code: 'ABORTED' })
    expect(verdict()).toEqual({ ...CLEAN, zombies: ['m0'], duplicated: ['m0'] })
  })

  describe('a handling that began and ended after a thaw, while the new owner was at work', () => {
    function thaw(told: boolean): void {
      sentOnce()
      const witness = new LedgerWriter(folder, 'a.witness', 1)
      witness.writeOf('a', 2, { did: 'frozen' })
      const b = new LedgerWriter(folder, 'b', 3)
      b.write(start)
      witness.writeOf('a', 2, { did: 'resumed' })
      const a = new LedgerWriter(folder, 'a', 2)
      a.write(start)
      a.write({ did: 'succeeded', handling: 1 })
      if (told) a.write({ did: 'revoked', note: '1 lost' })
      b.write({ did: 'succeeded', handling: 1 })
    }

    test('is a zombie where its process was about to be told what it had lost', () => {
      thaw(true)
      expect(verdict()).toEqual({ ...CLEAN, zombies: ['m0'], duplicated: ['m0'] })
    })

    test('is an overlap where its process had lost nothing', () => {
      thaw(false)
      expect(verdict()).toEqual({ ...CLEAN, overlapping: ['m0'], duplicated: ['m0'] })
    })
  })
})
