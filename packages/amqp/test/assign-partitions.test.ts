import { expect, test } from 'vitest'
import { assignPartitions } from '../src/assign-partitions.js'
import { murmur3, partitionOf } from '../src/hash.js'

const members = Array.from({ length: 7 }, (_, index) => `member-${index}`)

test('everybody gets as many as the others, give or take one', () => {
  for (let count = 1; count <= members.length; count += 1) {
    for (const partitions of [1, 3, 8, 32]) {
      const owners = assignPartitions(members.slice(0, count), partitions)
      const shares = members.slice(0, count).map((member) => owners.filter((owner) => owner === member).length)
      expect(owners).toHaveLength(partitions)
      expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
    }
  }
})

test('all members come to the same result, whatever order they know each other in', () => {
  expect(assignPartitions([...members].reverse(), 32)).toEqual(assignPartitions(members, 32))
})

test('few partitions move when a member comes', () => {
  const before = assignPartitions(members.slice(0, 4), 32)
  const after = assignPartitions(members.slice(0, 5), 32)
  const moved = before.filter((owner, partition) => after[partition] !== owner).length
  expect(moved).toBeGreaterThanOrEqual(6)
  expect(moved).toBeLessThan(20)
})

test('keys have the partitions that other clients compute for them', () => {
  // MurmurHash3 x86 32, published vectors.
  expect(murmur3('', 0)).toBe(0)
  expect(murmur3('', 1)).toBe(0x514e28b7)
  expect(murmur3('test', 0)).toBe(0xba6bd213)
  expect(murmur3('Hello, world!', 0)).toBe(0xc0363e43)
  expect(murmur3('The quick brown fox jumps over the lazy dog', 0x9747b28c)).toBe(0x2fa826cd)
  expect(partitionOf('anything', 1)).toBe(0)
  expect(['', 'customer-42', 'é 🦉'].map((key) => partitionOf(key, 8))).toEqual(
    ['', 'customer-42', 'é 🦉'].map((key) => murmur3(key, 104_729) % 8),
  )
})
