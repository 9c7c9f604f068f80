import { isBatchError } from '../errors.js'
import type { Delivery } from './delivery.js'

/** Why a message of a batch has failed. */
export interface Failure {
  readonly error: unknown
  /** The handler failed as a whole: whether this message was the cause is unknown. */
  readonly blanket: boolean
}

/**
 * Returns the outcome of each message of a batch; `undefined` is success. `thrown`: what the handler threw, if it did.
 */
export function outcomesOf(
  deliveries: readonly Delivery[],
  thrown: { readonly error: unknown } | undefined,
): (Failure | undefined)[] {
  const singled = thrown === undefined ? undefined : singledOut(thrown.error, deliveries.length)
  return deliveries.map((delivery, index) => {
    if (delivery.timedOut) return { error: delivery.signal.reason, blanket: false }
    if (delivery.nacked !== undefined) return { error: delivery.nacked.reason, blanket: false }
    if (thrown === undefined) return undefined
    if (singled === undefined) return { error: thrown.error, blanket: deliveries.length > 1 }
    return singled.has(index) ? { error: singled.get(index), blanket: false } : undefined
  })
}

/**
 * Returns the errors of a `BatchError`, by index. One from a `sendBatch` refers to the list that was sent, which need
 * not be the batch: it counts like any other error.
 */
function singledOut(error: unknown, total: number): Map<number, unknown> | undefined {
  if (!isBatchError(error) || error.operation === 'sendBatch' || error.total !== total) return undefined
  if (error.failures.some(({ index }) => !(index >= 0 && index < total))) return undefined
  return new Map(error.failures.map((failure) => [failure.index, failure.error]))
}
