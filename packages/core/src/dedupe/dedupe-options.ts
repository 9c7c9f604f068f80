import { isPlainObject, type OptionInput, option } from '../options/fields.js'
import type { DedupeStore } from './dedupe-store.js'
import { type DedupeTransaction, isDedupeTransaction } from './dedupe-transaction.js'

const STORE_CALLS = ['claim', 'extend', 'complete', 'release'] as const

/** How a loop recognises messages that its group has already handled. */
export const dedupeFields = {
  /** Where handled ids are stored: a `MemoryDedupeStore`, the Redis package's `RedisDedupeStore`, or a custom store. */
  store: option.custom<DedupeStore>('DedupeStore', checkStore),
  /**
   * A `DedupeTransaction`, instead of a store: the handled id is committed together with what the handler writes to
   * your database.
   */
  transaction: option.custom<DedupeTransaction<unknown>>('DedupeTransaction', (raw) =>
    isDedupeTransaction(raw) ? { value: raw as DedupeTransaction<unknown> } : 'must be a DedupeTransaction',
  ),
  /**
   * How long a store remembers that a message was handled, in milliseconds. Must exceed the delay of any resend,
   * redelivery or replay.
   * @default 1209600000 (14 d)
   */
  ttlMs: option.integer({ default: 14 * 24 * 3_600_000, min: 1 }),
  /**
   * How long the messages of a member that died stay blocked for others, in milliseconds. While a member lives, it
   * extends its claims.
   * @default 10000 (10 s)
   */
  claimMs: option.integer({ default: 10_000, min: 100, max: 3_600_000 }),
}

/** What users pass of {@link dedupeFields}: a `store` or a `transaction`. */
export type DedupeOptions = OptionInput<typeof dedupeFields>

function checkStore(raw: unknown): { readonly value: DedupeStore } | string {
  const store = raw as Partial<DedupeStore> | null
  if (typeof raw === 'object' && raw !== null && STORE_CALLS.every((name) => typeof store?.[name] === 'function'))
    return { value: raw as DedupeStore }
  return `must be a DedupeStore, an object with ${STORE_CALLS.join(', ')}`
}

/** Returns what is wrong with a combination of valid `dedupe` options; `undefined` when it is valid. */
export function dedupeProblem(given: unknown): string | undefined {
  if (!isPlainObject(given)) return undefined
  const named = (['store', 'transaction'] as const).filter((name) => given[name] !== undefined)
  if (named.length === 1) return undefined
  return named.length === 0
    ? "dedupe: must have a 'store' or a 'transaction'"
    : "dedupe: must have either a 'store' or a 'transaction', not both"
}
