import { inspectable, StreamError } from '../errors.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { PartitionOwner, PartitionState } from './partition-state.js'
import { goneError } from './settler.js'

export interface AcknowledgementsHost {
  succeeded(delivery: Delivery, partition: PartitionState): void
  failed(delivery: Delivery, partition: PartitionState, error: unknown, final: boolean): void
}

/** What `message.ack()` and `message.nack()` do, whatever the message's state. */
export class Acknowledgements implements PartitionOwner {
  readonly #host: AcknowledgementsHost

  constructor(host: AcknowledgementsHost) {
    this.#host = host
  }

  acknowledge(delivery: Delivery, partition: PartitionState): Promise<void> {
    if (delivery.state === DeliveryState.Acked) return Promise.resolve()
    if (partition.phase === 'closed' || delivery.state === DeliveryState.Dropped)
      return Promise.reject(goneError(partition))
    if (delivery.nacked !== undefined || hasFailed(delivery))
      return Promise.reject(conflict(delivery, 'was given back as failed', 'ack'))
    const settled = new Promise<void>((resolve, reject) => {
      delivery.ackWaiters ??= []
      delivery.ackWaiters.push({ resolve, reject })
    })
    if (delivery.state === DeliveryState.Running) this.#host.succeeded(delivery, partition)
    return settled
  }

  negativeAcknowledge(delivery: Delivery, partition: PartitionState, reason: unknown): Promise<void> {
    if (delivery.state === DeliveryState.Settled || delivery.state === DeliveryState.Acked || delivery.completing)
      return Promise.reject(conflict(delivery, 'is acked already', 'nack'))
    if (partition.phase === 'closed' || delivery.state === DeliveryState.Dropped)
      return Promise.reject(goneError(partition))
    if (delivery.nacked !== undefined || delivery.state !== DeliveryState.Running) return Promise.resolve()
    const cause = inspectable(reason ?? new Error('nack() was called'))
    delivery.nacked = { reason: cause }
    // While its handler is at work the attempt goes on; it fails when the handler ends.
    if (!delivery.handling) this.#host.failed(delivery, partition, cause, false)
    return Promise.resolve()
  }
}

/** The attempt is over, or was taken back: nobody can make a success of it any more. */
function hasFailed({ state }: Delivery): boolean {
  return state === DeliveryState.Waiting || state === DeliveryState.Retrying || state === DeliveryState.GivenUp
}

function conflict(delivery: Delivery, what: string, operation: string): StreamError {
  return new StreamError(`message ${delivery.id} ${what}`, { code: 'CONFLICT', topic: delivery.topic, operation })
}
