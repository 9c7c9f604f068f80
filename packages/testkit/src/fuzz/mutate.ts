import type { Randomness } from '../faults/soak/randomness.js'

/** Values at which lengths and counts go wrong. */
const EXTREMES = [
  0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
]

/** Numbers as protocols write them with seven bits to a byte: 0, -1 by zigzag, the largest of 32, 53 and 64 bits, one that doesn't end. */
const VARINTS = [
  '00',
  '01',
  '7f',
  'ff01',
  'feffffff0f',
  'ffffffff0f',
  'feffffffffffff1f',
  'ffffffffffffffffff01',
  'ffffffffffffffffffff',
].map((hex) => Buffer.from(hex, 'hex'))

/** What mutations draw from. */
export interface MutationSources {
  readonly randomness: Randomness
  readonly dictionary: readonly Buffer[]
  /** Other inputs, for splicing. */
  readonly pool: readonly Buffer[]
  readonly maxBytes: number
}

type Mutation = (bytes: Buffer, sources: MutationSources) => Buffer

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  setByte,
  setByte,
  setNumber,
  setNumber,
  setVarint,
  truncate,
  remove,
  repeat,
  nest,
  splice,
  insertToken,
  insertToken,
  swap,
]

/** An input with one to six changes. */
export function mutate(bytes: Buffer, sources: MutationSources): Buffer {
  const { randomness, maxBytes } = sources
  let mutated = bytes
  for (let left = randomness.between(1, randomness.chance(70) ? 2 : 6); left > 0; left -= 1)
    mutated = randomness.pick(MUTATIONS)(mutated, sources).subarray(0, maxBytes)
  return mutated
}

function flipBit(bytes: Buffer, { randomness }: MutationSources): Buffer {
  if (bytes.length === 0) return bytes
  const copy = Buffer.from(bytes)
  const at = randomness.between(0, copy.length - 1)
  copy[at] = (copy[at] as number) ^ (1 << randomness.between(0, 7))
  return copy
}

function setByte(bytes: Buffer, { randomness }: MutationSources): Buffer {
  if (bytes.length === 0) return bytes
  const copy = Buffer.from(bytes)
  copy[randomness.between(0, copy.length - 1)] = randomness.chance(50)
    ? randomness.between(0, 255)
    : randomness.pick([0, 1, 0x7f, 0x80, 0xff])
  return copy
}

/** A number of 16, 32 or 64 bits in either byte order: an extreme, or nearly as much as is left. */
function setNumber(bytes: Buffer, { randomness }: MutationSources): Buffer {
  const width = randomness.pick([2, 4, 4, 8])
  if (bytes.length < width) return bytes
  const copy = Buffer.from(bytes)
  const at = randomness.between(0, copy.length - width)
  const left = copy.length - at - width
  const value = randomness.chance(60) ? randomness.pick(EXTREMES) : Math.max(0, left + randomness.between(-2, 2))
  const number = Buffer.alloc(8)
  // Of 64 bits also those beyond a JavaScript number.
  if (width === 8 && randomness.chance(30)) number.fill(0xff)
  else number.writeBigUInt64BE(BigInt(value))
  const written = number.subarray(8 - width)
  return randomness.chance(30) ? put(copy, at, Buffer.from(written).reverse()) : put(copy, at, written)
}

function put(bytes: Buffer, at: number, part: Buffer): Buffer {
  part.copy(bytes, at)
  return bytes
}

function setVarint(bytes: Buffer, { randomness }: MutationSources): Buffer {
  const at = randomness.between(0, bytes.length)
  return Buffer.concat([bytes.subarray(0, at), randomness.pick(VARINTS), bytes.subarray(at + randomness.between(0, 2))])
}

function truncate(bytes: Buffer, { randomness }: MutationSources): Buffer {
  return bytes.subarray(0, randomness.between(0, bytes.length))
}

function remove(bytes: Buffer, sources: MutationSources): Buffer {
  const [from, to] = range(bytes, sources)
  return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)])
}

/** A part many times in a row: what grows with the square of something shows by it. */
function repeat(bytes: Buffer, sources: MutationSources): Buffer {
  const { randomness, maxBytes } = sources
  const [from, to] = range(bytes, sources)
  const part = bytes.subarray(from, to)
  if (part.length === 0) return bytes
  const most = Math.floor((maxBytes - bytes.length) / part.length)
  const times = Math.min(most, randomness.chance(5) ? most : 2 ** randomness.between(1, 8))
  if (times < 1) return bytes
  return Buffer.concat([bytes.subarray(0, to), ...Array.from({ length: times }, () => part), bytes.subarray(to)])
}

/** A copy of a part within itself. */
function nest(bytes: Buffer, sources: MutationSources): Buffer {
  const [from, to] = range(bytes, sources)
  const middle = sources.randomness.between(from, to)
  return Buffer.concat([bytes.subarray(0, middle), bytes.subarray(from, to), bytes.subarray(middle)])
}

function splice(bytes: Buffer, sources: MutationSources): Buffer {
  const { randomness, pool } = sources
  if (pool.length === 0) return bytes
  const other = randomness.pick(pool)
  const [from, to] = range(other, sources)
  const at = randomness.between(0, bytes.length)
  const end = randomness.chance(50) ? at : randomness.between(at, bytes.length)
  return Buffer.concat([bytes.subarray(0, at), other.subarray(from, to), bytes.subarray(end)])
}

function insertToken(bytes: Buffer, { randomness, dictionary }: MutationSources): Buffer {
  if (dictionary.length === 0) return bytes
  const token = randomness.pick(dictionary)
  const at = randomness.between(0, bytes.length)
  const end = randomness.chance(50) ? at : Math.min(bytes.length, at + token.length)
  return Buffer.concat([bytes.subarray(0, at), token, bytes.subarray(end)])
}

function swap(bytes: Buffer, sources: MutationSources): Buffer {
  const [from, to] = range(bytes, sources)
  const middle = sources.randomness.between(from, to)
  const [head, first] = [bytes.subarray(0, from), bytes.subarray(from, middle)]
  return Buffer.concat([head, bytes.subarray(middle, to), first, bytes.subarray(to)])
}

/** Mostly a short part, sometimes any. */
function range(bytes: Buffer, { randomness }: MutationSources): [from: number, to: number] {
  const from = randomness.between(0, bytes.length)
  const length = randomness.chance(80) ? randomness.between(0, 32) : randomness.between(0, bytes.length)
  return [from, Math.min(bytes.length, from + length)]
}
