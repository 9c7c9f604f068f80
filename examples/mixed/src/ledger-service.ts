import type { Listener, Message } from '@streamswitch/core'
import { EMPTY, type LedgerState, withReceipt } from './ledger.js'
import type { Receipt } from './orders.js'
import type { Shop } from './queues.js'

/** Books receipts, and says what it has booked: when something has come, and at the end. */
class LedgerService implements Listener<Receipt> {
  readonly #tell: (state: LedgerState) => void
  readonly #booked = new Map<string, number>()
  #state = EMPTY

  constructor(tell: (state: LedgerState) => void) {
    this.#tell = tell
  }

  consume({ value }: Message<Receipt>): void {
    this.#state = withReceipt(this.#state, this.#booked, value)
    this.#tell(this.#state)
  }

  flush(): void {
    this.#tell(this.#state)
  }
}

export function addLedgerService(shop: Shop, tell: (state: LedgerState) => void): void {
  shop.handle('receipts', new LedgerService(tell))
}
