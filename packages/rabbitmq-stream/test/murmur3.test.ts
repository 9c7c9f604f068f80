import { describe, expect, test } from 'vitest'
import { murmur3, partitionOfKey } from '../src/murmur3.js'

// From the reference implementation (MurmurHash3_x86_32, seed 104729, over UTF-8).
const KNOWN: readonly (readonly [string, number])[] = [
  ['', 3_329_588_566],
  ['a', 1_086_686_554],
  ['ab', 398_604_456],
  ['abc', 3_409_700_625],
  ['abcd', 3_421_720_556],
  ['customer-4711', 2_862_599_478],
  ['order-é-🦉', 2_620_379_925],
  ['x'.repeat(100), 3_166_134_860],
]

describe('murmur3', () => {
  test.each(KNOWN)('%j', (key, hash) => {
    expect(murmur3(key)).toBe(hash)
  })

  test('keys go to the partitions that the other stream clients choose', () => {
    const partitions = Array.from({ length: 10 }, (_, index) => partitionOfKey(`hello${index + 1}`, 3))
    expect(partitions).toEqual([1, 0, 1, 2, 0, 2, 0, 1, 0, 2])
  })
})
