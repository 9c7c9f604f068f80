import { addChargeService } from './charge-service.js'
import type { LedgerState } from './ledger.js'
import { addLedgerService } from './ledger-service.js'
import type { Shop } from './queues.js'
import { addReceiptService } from './receipt-service.js'

/** The loops of the services, by the queues that they consume. */
export const LOOPS = ['orders', 'payments', 'receipts'] as const

export function addServices(shop: Shop, tell: (state: LedgerState) => void): void {
  addChargeService(shop)
  addReceiptService(shop)
  addLedgerService(shop, tell)
}
