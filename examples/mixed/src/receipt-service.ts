import { InjectedFailures } from './injected-failures.js'
import type { Shop } from './queues.js'

/** Writes receipts for payments. */
export function addReceiptService(shop: Shop): void {
  const receipts = shop.producer('receipts')
  const failures = new InjectedFailures()
  shop.handle('payments', async ({ id, value: payment }) => {
    failures.before(id)
    const text = `${payment.customer}, order ${payment.sequence}: ${payment.cents + payment.fee} cents`
    await receipts.send({ ...payment, text }, { key: payment.customer, id: `receipt-${id}` })
    failures.after(id)
  })
}
