import kafkajs from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { murmur2, Partitioner } from '../src/partitioner.js'

describe('murmur2', () => {
  // The values of Kafka's own UtilsTest.
  it.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ])('of %s is %i, as in Java', (text, hash) => {
    expect(murmur2(Buffer.from(text))).toBe(hash)
  })
})

describe('Partitioner', () => {
  const native = kafkajs.Partitioners.DefaultPartitioner()
  const partitionMetadata = Array.from({ length: 7 }, (_, partitionId) => ({
    partitionId,
    leader: 0,
    partitionErrorCode: 0,
    replicas: [],
    isr: [],
  }))

  it.each(['', 'a', 'ab', 'abc', 'abcd', 'abcde', 'ключ', '鍵-🔑', 'x'.repeat(1_000)])(
    'puts key %j where kafkajs and Java do',
    (key) => {
      const expected = native({ topic: 't', partitionMetadata, message: { key: Buffer.from(key), value: null } })
      expect(new Partitioner(7).partitionOf(key)).toBe(expected)
    },
  )

  it('spreads records without key evenly, in runs', () => {
    const partitioner = new Partitioner(3)
    const chosen = Array.from({ length: 900 }, () => partitioner.partitionOf(undefined))
    for (const partition of [0, 1, 2]) expect(chosen.filter((one) => one === partition)).toHaveLength(300)
    expect(new Set(chosen.slice(0, 10)).size).toBe(1)
  })
})
