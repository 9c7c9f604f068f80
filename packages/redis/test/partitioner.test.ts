import { expect, test } from 'vitest'
import { partitionOfKey } from '../src/partitioner.js'

test('known keys have known partitions: changing this would break the order of existing topics', () => {
  // FNV-1a 32: '' 811c9dc5, 'a' e40c292c, 'foobar' bf9cf968 (the reference vectors of the algorithm).
  const all = 2 ** 32
  expect([partitionOfKey('', all), partitionOfKey('a', all), partitionOfKey('foobar', all)]).toEqual([
    0x811c9dc5, 0xe40c292c, 0xbf9cf968,
  ])
  expect(partitionOfKey('é🦉', all)).toBe(hash(Buffer.from('é🦉')))
  expect(partitionOfKey('anything', 1)).toBe(0)
})

test('keys spread evenly', () => {
  const counts = new Array<number>(8).fill(0)
  for (let key = 0; key < 8_000; key += 1) {
    const partition = partitionOfKey(`customer-${key}`, 8)
    counts[partition] = (counts[partition] as number) + 1
  }
  for (const count of counts) expect(count).toBeGreaterThan(800)
})

function hash(bytes: Buffer): number {
  return Number(bytes.reduce((value, byte) => BigInt.asUintN(32, (value ^ BigInt(byte)) * 0x01000193n), 0x811c9dc5n))
}
