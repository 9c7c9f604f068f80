import { describe, expect, it } from 'vitest'
import { EMPTY, faultOf, type LedgerState, withReceipt } from '../src/ledger.js'
import { feeOf, makeOrders, type Order } from '../src/orders.js'

function book(orders: readonly Order[]): LedgerState {
  const booked = new Map<string, number>()
  return orders.reduce((state, order) => withReceipt(state, booked, { ...order, fee: feeOf(order), text: '' }), EMPTY)
}

describe('the books', () => {
  const orders = makeOrders(200)
  const [first, ...rest] = orders as [Order, ...Order[]]
  const next = rest.findIndex(({ customer }) => customer === first.customer)

  it('are right when every receipt came, in order, some of them again', () => {
    expect(faultOf(book(orders), orders)).toBeUndefined()
    expect(faultOf(book([first, ...orders]), orders)).toBeUndefined()
    expect(book([first, ...orders]).repeated).toBe(1)
  })

  it('show a receipt that was lost, one that was overtaken, and a wrong sum', () => {
    expect(faultOf(book(orders.slice(0, -1)), orders)).toBe('199 of 200 receipts came')
    expect(faultOf(book(rest), orders)).toContain('out of order')
    const swapped = [...rest.slice(0, next + 1), first, ...rest.slice(next + 1)]
    expect(faultOf(book(swapped), orders)).toContain('out of order')
    expect(faultOf({ ...book(orders), cents: 1 }, orders)).toContain('the receipts make 1 cents')
  })
})
