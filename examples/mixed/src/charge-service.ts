import { InjectedFailures } from './injected-failures.js'
import { feeOf } from './orders.js'
import type { Shop } from './queues.js'

/** Charges orders. An order that comes again is charged under the same id. */
export function addChargeService(shop: Shop): void {
  const payments = shop.producer('payments')
  const failures = new InjectedFailures()
  shop.handle('orders', async ({ id, value: order }) => {
    failures.before(id)
    await payments.send({ ...order, fee: feeOf(order) }, { key: order.customer, id: `payment-${id}` })
    failures.after(id)
  })
}
