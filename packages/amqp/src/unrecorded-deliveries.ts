import type { History } from './message.js'
import type { DeliveryHistory } from './redeliveries.js'

/**
 * Of messages in a queue of others nothing is on record: it has other consumers, which know of no records. Quorum queues count
 * deliveries (`x-delivery-count`) and classic ones flag them (`redelivered`), but prefetched messages that no handler has seen as well:
 * neither says how often a handler was started. Both are in `message.native`.
 */
export class UnrecordedDeliveries implements DeliveryHistory {
  readonly isRead = true

  reset(): void {}

  async read(): Promise<void> {}

  historyOf(): History | undefined {
    return undefined
  }

  settled(): void {}

  async giveBack(): Promise<void> {}

  lost(): void {}
}
