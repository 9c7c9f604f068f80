import { feeOf, type Order, type Receipt } from './orders.js'

/** What was booked so far. */
export interface LedgerState {
  /** Different receipts. */
  readonly receipts: number
  /** Receipts that came again and were skipped. */
  readonly repeated: number
  /** Receipts that came before an earlier one of their customer. */
  readonly outOfOrder: number
  readonly cents: number
}

export const EMPTY: LedgerState = { receipts: 0, repeated: 0, outOfOrder: 0, cents: 0 }

/** @param booked - the last sequence of each customer; it is brought up to date. */
export function withReceipt(state: LedgerState, booked: Map<string, number>, receipt: Receipt): LedgerState {
  const last = booked.get(receipt.customer) ?? 0
  if (receipt.sequence <= last) return { ...state, repeated: state.repeated + 1 }
  booked.set(receipt.customer, receipt.sequence)
  return {
    ...state,
    receipts: state.receipts + 1,
    // One that is skipped here counts when the next comes; it would then be taken for a repetition, and be missing.
    outOfOrder: state.outOfOrder + (receipt.sequence === last + 1 ? 0 : 1),
    cents: state.cents + receipt.cents + receipt.fee,
  }
}

/** What is wrong with the books; `undefined` where nothing is. */
export function faultOf(state: LedgerState, orders: readonly Order[]): string | undefined {
  const cents = orders.reduce((sum, order) => sum + order.cents + feeOf(order), 0)
  if (state.outOfOrder > 0) return `${state.outOfOrder} receipts came out of order`
  if (state.receipts !== orders.length) return `${state.receipts} of ${orders.length} receipts came`
  if (state.cents !== cents) return `the receipts make ${state.cents} cents, the orders ${cents}`
  return undefined
}
