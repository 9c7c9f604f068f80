import type { PartitionPositions, StartPosition } from '../contract/consumer-driver.js'
import { isPlainObject } from '../options/fields.js'

const EXPECTED = "must be 'earliest', 'latest', { offset } or { timestamp }"

/** Checks the offset given to `seek`; returns what it must be when it is invalid. */
export function checkPosition(raw: unknown): { readonly value: StartPosition } | string {
  if (raw === 'earliest' || raw === 'latest') return { value: raw }
  if (!isPlainObject(raw) || Object.keys(raw).length !== 1) return EXPECTED
  const { offset, timestamp } = raw
  if (typeof timestamp === 'number' && Number.isSafeInteger(timestamp) && timestamp >= 0)
    return { value: { timestamp } }
  if (typeof offset === 'string' && offset !== '') return { value: { offset } }
  if (typeof offset === 'bigint' || (typeof offset === 'number' && Number.isSafeInteger(offset) && offset >= 0))
    return { value: { offset: String(offset) } }
  return EXPECTED
}

/** Checks the `from` option: an offset, or one for each partition: a list, or `{ partitions: { 0: …, 3: … } }`. */
export function checkStart(raw: unknown): { readonly value: StartPosition | PartitionPositions } | string {
  const listed = Array.isArray(raw) ? Object.entries(raw) : partitionsOf(raw)
  if (listed === undefined) {
    const single = checkPosition(raw)
    return typeof single === 'string' ? `${single}, or a list of them by partition` : single
  }
  if (listed.length === 0) return 'must name at least one partition'
  const partitions = new Map<number, StartPosition>()
  for (const [name, position] of listed) {
    if (!/^\d{1,9}$/.test(name)) return `'${name.slice(0, 40)}' is not a partition number`
    if (position === undefined) continue
    const checked = checkPosition(position)
    if (typeof checked === 'string') return `partition ${name}: ${checked}`
    partitions.set(Number(name), checked.value)
  }
  return { value: { partitions } }
}

function partitionsOf(raw: unknown): [string, unknown][] | undefined {
  if (!isPlainObject(raw) || Object.keys(raw).length !== 1 || !isPlainObject(raw.partitions)) return undefined
  return Object.entries(raw.partitions)
}

/** Start offsets per partition, as users may give them. */
export type PartitionPositionsInput =
  | readonly (StartPosition | undefined)[]
  | { readonly partitions: Readonly<Record<number, StartPosition>> }
