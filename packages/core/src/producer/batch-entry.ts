import type { SendOptions } from './producer-options.js'

/** One value of a `sendBatch` with its own options. */
export interface BatchEntry<T> {
  readonly value: T
  readonly options?: SendOptions
}

/** What {@link batchEntry} makes: told apart from a value that happens to have the same properties. */
export class BatchEntryOf<T> implements BatchEntry<T> {
  readonly value: T
  readonly options: SendOptions

  constructor(value: T, options: SendOptions) {
    this.value = value
    this.options = options
  }
}

/**
 * Creates a value of a `sendBatch` with its own options: `sendBatch(orders.map((order) => batchEntry(order, { key:
 * order.id })))`.
 */
export function batchEntry<T>(value: T, options: SendOptions): BatchEntryOf<T> {
  return new BatchEntryOf(value, options)
}
