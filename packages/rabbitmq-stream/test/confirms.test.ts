import type { OutgoingRecord, PublishBatch } from '@streamswitch/core/driver'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PublishError } from '../src/client-patches/server-frames.js'
import type { StreamClient } from '../src/client-patches/stream-client.js'
import { openClient } from '../src/connection.js'
import { PartitionPublisher } from '../src/partition-publisher.js'
import { NamedIds, PassingIds, type PublisherIds } from '../src/publisher-ids.js'
import { sourceOf, unique } from './support/bench.js'
import { BROKER_URL } from './support/broker.js'

const SETTINGS = { topic: 'orders', partition: 0, compression: 'none', filterOf: undefined } as const

let client: StreamClient
let stream: string
let publisher: PartitionPublisher | undefined

beforeEach(async () => {
  client = await openClient(sourceOf(BROKER_URL), {
    closed() {},
    streamChanged() {},
    confirmed: (_: unknown, _publisherId: number, ids: readonly bigint[]) => publisher?.confirmed(ids),
    refused: (_: unknown, _publisherId: number, errors: readonly PublishError[]) => publisher?.refused(errors),
  })
  stream = unique('stream')
  await client.createStream({ stream })
})

afterEach(async () => {
  await client.deleteStream({ stream })
  await client.close()
})

function recordOf(text: string, sequence?: bigint): OutgoingRecord {
  const payload = Buffer.from(text)
  return {
    id: text,
    key: undefined,
    payload,
    headers: undefined,
    timestamp: 1,
    partition: undefined,
    sequence,
    size: payload.length,
    resends: 0,
  }
}

/** Publishes as one batch and resolves with each record's outcome, in order. */
async function publish(ids: PublisherIds, records: readonly OutgoingRecord[], publisherId?: number, subEntrySize = 1) {
  const handle = await client.publisher(stream, undefined)
  const declared = publisherId === undefined ? handle : { ...handle, publisherId }
  publisher = new PartitionPublisher(declared, ids, { ...SETTINGS, subEntrySize })
  const outcomes: unknown[] = records.map(() => 'unreported')
  const batch: PublishBatch = {
    records,
    lane: 0,
    accept: (index) => {
      outcomes[index] = 'stored'
    },
    acceptAll: () => {},
    fail: (index, error) => {
      outcomes[index] = error
    },
    failAll: () => {},
  }
  await publisher.publish(batch)
  return outcomes
}

describe('each record has its own outcome', () => {
  test('stored, or too large for any frame, in one batch', async () => {
    const large = { ...recordOf('x'), payload: Buffer.alloc(1_048_576) }
    const outcomes = await publish(new PassingIds(), [recordOf('a'), large, recordOf('b')])
    expect(outcomes).toEqual(['stored', expect.objectContaining({ code: 'TOO_LARGE' }), 'stored'])
  })

  test('refused by the broker, each by its code, as single records and as batches of sub-entries', async () => {
    const records = ['a', 'b', 'c', 'd', 'e'].map((text) => recordOf(text))
    const refused = expect.objectContaining({
      code: 0x12,
      message: expect.stringContaining('publisher does not exist'),
    })
    for (const subEntrySize of [1, 2])
      expect(await publish(new PassingIds(), records, 200, subEntrySize)).toEqual(records.map(() => refused))
  })

  test('not encodable, or too large, alone in a batch of sub-entries', async () => {
    const broken = {
      ...recordOf('broken'),
      get id(): string {
        throw new Error('no id')
      },
    }
    const large = { ...recordOf('x'), payload: Buffer.alloc(1_048_576) }
    const records = [recordOf('a'), broken, recordOf('b'), large, recordOf('c')]
    const [notEncodable, tooLarge] = ['INVALID_ARGUMENT', 'TOO_LARGE'].map((code) => expect.objectContaining({ code }))
    const outcomes = await publish(new PassingIds(), records, undefined, 10)
    expect(outcomes).toEqual(['stored', notEncodable, 'stored', tooLarge, 'stored'])
  })

  test('stored, each of several batches of sub-entries', async () => {
    const records = ['a', 'b', 'c', 'd', 'e'].map((text) => recordOf(text))
    expect(await publish(new PassingIds(), records, undefined, 2)).toEqual(records.map(() => 'stored'))
  })

  test('refused, and then below what is stored: CONFLICT for a sequence of the user, a new id for one of ours', async () => {
    const ids = new NamedIds('orders', 10n)
    const [given, ours] = [recordOf('given', 11n), recordOf('ours')]
    await publish(ids, [given, ours], 200)
    expect([ids.idOf(given), ids.idOf(ours)], 'nothing newer is stored: the same ids').toEqual([11n, 12n])
    ids.confirmed(ids.idOf(recordOf('newer', 13n)))
    expect(() => ids.idOf(given)).toThrow(expect.objectContaining({ code: 'CONFLICT' }))
    expect(ids.idOf(ours)).toBeGreaterThan(13n)
  })
})
