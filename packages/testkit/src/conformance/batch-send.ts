import { type BatchError, batchEntry, isBatchError } from '@streamswitch/core'
import { expect } from 'vitest'
import { within } from './collect.js'
import { load } from './load.js'
import type { Suite } from './suite.js'

/** Item 9: lists of values, good and bad ones together. */
export function batchSend(suite: Suite): void {
  suite.describe('batch send', () => {
    good(suite)
    bad(suite)
  })
}

function good(suite: Suite): void {
  suite.test('a list is sent in order; a receipt for each, in order', {}, async (bench) => {
    await bench.member()
    const producer = bench.producer()
    const ids = Array.from({ length: load(200) }, (_, index) => `entry-${index}`)
    const receipts = await within(
      producer.sendBatch(ids.map((id) => batchEntry(id, { id, key: 'k', headers: { plain: 'yes' } }))),
      'the receipts',
    )
    expect(receipts.map((receipt) => receipt.id)).toEqual(ids)
    await bench.handledCount(ids.length)
    expect(bench.handled().map((one) => one.id)).toEqual(ids)
    expect(
      bench.handled().every((one) => one.value === one.id && one.headers['plain'] === 'yes' && one.key === 'k'),
    ).toBe(true)
  })

  suite.test('plain values, none at all, and both kinds in one list', {}, async (bench) => {
    await bench.member()
    const producer = bench.producer()
    expect(await producer.sendBatch([])).toEqual([])
    const receipts = await within(
      producer.sendBatch(['plain', batchEntry('with options', { id: 'own' }), undefined, null]),
      'the receipts',
    )
    expect(receipts[1]?.id).toBe('own')
    expect(new Set(receipts.map((receipt) => receipt.id)).size).toBe(4)
    await bench.handledCount(4)
    const values = receipts.map((receipt) => bench.handled().find((one) => one.id === receipt.id)?.value)
    expect(values).toEqual(['plain', 'with options', undefined, null])
  })

  suite.test(
    'lists beyond the limits of a batch are cut, and stay in order',
    { partitions: suite.partitions },
    async (bench) => {
      await bench.member()
      const producer = bench.producer({ maxBatchRecords: 7, maxBatchBytes: 2_000, maxBufferedMessages: 40 })
      const text = 'x'.repeat(300)
      const entries = Array.from({ length: load(300) }, (_, index) =>
        batchEntry({ index, text }, { id: `cut-${index}`, key: `key-${index % 5}` }),
      )
      await within(producer.sendBatch(entries), 'the receipts')
      await bench.handledCount(entries.length)
      for (let key = 0; key < 5; key += 1) {
        const indexes = bench
          .handled()
          .filter((one) => one.key === `key-${key}`)
          .map((one) => (one.value as { index: number }).index)
        expect(indexes).toEqual(Array.from({ length: entries.length / 5 }, (_, turn) => turn * 5 + key))
      }
    },
  )
}

function bad(suite: Suite): void {
  const { maxPayloadBytes } = suite.settings.limits

  suite.test('one bad record each way: BatchError names them, the others are delivered once', {}, async (bench) => {
    const member = await bench.member()
    const producer = bench.producer()
    const circular: Record<string, unknown> = {}
    circular['self'] = circular
    const entries = [
      batchEntry('good 0', { key: 'k' }),
      batchEntry(circular, { key: 'k' }),
      batchEntry('good 2', { key: 'k' }),
      batchEntry('x'.repeat(maxPayloadBytes), { key: 'k' }),
      batchEntry('good 4', { key: 'k', headers: { 'streamswitch-id': 'reserved' } }),
      batchEntry(10n, { key: 'k' }),
      batchEntry('good 6', { key: 'k' }),
      batchEntry('no such partition', { partition: 100_000 }),
      batchEntry('aborted', { key: 'k', signal: AbortSignal.abort() }),
    ]
    const error = await failureOf(producer.sendBatch(entries))
    const codes = error.failures.map((failure) => [failure.index, failure.error.code])
    expect(codes).toEqual([
      [1, 'SERIALIZATION'],
      [3, 'TOO_LARGE'],
      [4, 'INVALID_ARGUMENT'],
      [5, 'SERIALIZATION'],
      [7, 'INVALID_ARGUMENT'],
      [8, 'ABORTED'],
    ])
    expect(error.total).toBe(9)
    expect(error.retryable).toBe(false)
    expect(error.message).toContain('6 of 9')
    void bench.ledger.send(producer, 'afterwards', { key: 'k' })
    await bench.handledCount(4)
    await bench.ledger.allConfirmed()
    expect(member.handlings.map((one) => one.value)).toEqual(['good 0', 'good 2', 'good 6', 'afterwards'])
  })

  suite.test('a list of bad records alone settles, and harms nobody', {}, async (bench) => {
    await bench.member()
    const producer = bench.producer()
    const error = await failureOf(producer.sendBatch([1n, Symbol('none'), () => {}]))
    expect(error.failures.map((failure) => failure.index)).toEqual([0, 1, 2])
    expect(error.code).toBe('SERIALIZATION')
    await bench.ledger.send(producer, 'fine')
    await bench.handledCount(1)
  })

  suite.test(
    'lists and single sends at the same time: each is settled exactly once',
    { partitions: suite.partitions },
    async (bench) => {
      await bench.member({ settings: { concurrency: 50 } })
      const producer = bench.producer()
      let settled = 0
      const lists = Array.from({ length: load(20) }, async (_, list) => {
        const entries = Array.from({ length: 20 }, (_, index) =>
          batchEntry(index === 13 ? 1n : `${list}/${index}`, { key: `key-${list}`, id: `${list}/${index}` }),
        )
        const error = await failureOf(producer.sendBatch(entries))
        expect(error.failures.map((failure) => failure.index)).toEqual([13])
        settled += 1
      })
      bench.ledger.series(producer, ['single', undefined], load(100))
      await Promise.all(lists)
      await bench.ledger.allConfirmed()
      const delivered = load(20) * 19 + 2 * load(100)
      await bench.handledCount(delivered)
      expect(settled).toBe(load(20))
      expect(bench.handled(), 'none twice').toHaveLength(delivered)
      expect(producer.stats()).toMatchObject({ accepted: delivered, failed: 0, buffered: 0, waiting: 0 })
    },
  )
}

async function failureOf(batch: Promise<unknown>): Promise<BatchError> {
  const error = await within(
    batch.then(
      () => undefined,
      (reason: unknown) => reason,
    ),
    'the outcome of a batch',
  )
  if (!isBatchError(error)) throw new Error(`expected a BatchError, got ${String(error)}`, { cause: error })
  return error
}
