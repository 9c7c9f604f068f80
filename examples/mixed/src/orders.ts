/** What the shop's customers send. */
export interface Order {
  readonly customer: string
  /** Counts the customer's orders from 1. */
  readonly sequence: number
  readonly cents: number
}

/** An order that was charged. */
export interface Payment extends Order {
  readonly fee: number
}

/** What the customer gets. */
export interface Receipt extends Payment {
  readonly text: string
}

const ORDERS = 2_000
const CUSTOMERS = 50

/** The orders of a run, always the same: customers take turns. */
export function makeOrders(count: number = ORDERS): Order[] {
  return Array.from({ length: count }, (_, index) => ({
    customer: `customer-${index % CUSTOMERS}`,
    sequence: Math.floor(index / CUSTOMERS) + 1,
    cents: ((index * 7_919) % 9_900) + 100,
  }))
}

export function feeOf({ cents }: Order): number {
  return Math.ceil(cents / 100)
}
