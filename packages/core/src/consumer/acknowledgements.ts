import { inspectable, StreamError, toStreamError } from '../errors.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { PartitionOwner, PartitionState } from './partition-state.js'
import { goneError } from './settler.js'

export interface AcknowledgementsHost {
  /** A call that settles or answers a message has failed, whether or not its caller awaits it. */
  settlementFailed(error: StreamError): void
  /** `respond` was called where no request is pending. */
  unasked(delivery: Delivery): void
  succeeded(delivery: Delivery, partition: PartitionState): void
  failed(delivery: Delivery, partition: PartitionState, error: unknown, final: boolean): void
}

/**
 * Implements `message.ack()`, `message.nack()` and `message.respond()` in every state of a message. Their promises
 * reject for callers that await them; for those that don't, the failure is an `error` event and not an unhandled
 * rejection.
 */
export class Acknowledgements implements PartitionOwner {
  readonly #host: AcknowledgementsHost

  constructor(host: AcknowledgementsHost) {
    this.#host = host
  }

  acknowledge(delivery: Delivery, partition: PartitionState): Promise<void> {
    return this.#observed(this.#ack(delivery, partition))
  }

  negativeAcknowledge(delivery: Delivery, partition: PartitionState, reason: unknown): Promise<void> {
    return this.#observed(this.#nack(delivery, partition, reason))
  }

  respond(delivery: Delivery, part: unknown): Promise<void> {
    if (delivery.responder !== undefined) return this.#observed(delivery.responder.respond(part))
    this.#host.unasked(delivery)
    return Promise.resolve()
  }

  #observed(settled: Promise<void>): Promise<void> {
    settled.catch((error: unknown) =>
      this.#host.settlementFailed(toStreamError(error, { code: 'UNKNOWN', operation: 'ack' })),
    )
    return settled
  }

  #ack(delivery: Delivery, partition: PartitionState): Promise<void> {
    if (delivery.state === DeliveryState.Acked) return Promise.resolve()
    if (partition.phase === 'closed' || delivery.state === DeliveryState.Dropped)
      return Promise.reject(goneError(partition))
    if (delivery.nacked !== undefined || hasFailed(delivery))
      return Promise.reject(conflict(delivery, 'was already returned as failed', 'ack'))
    const settled = new Promise<void>((resolve, reject) => {
      delivery.ackWaiters ??= []
      delivery.ackWaiters.push({ resolve, reject })
    })
    if (delivery.state === DeliveryState.Running) this.#host.succeeded(delivery, partition)
    return settled
  }

  #nack(delivery: Delivery, partition: PartitionState, reason: unknown): Promise<void> {
    if (delivery.state === DeliveryState.Settled || delivery.state === DeliveryState.Acked || delivery.completing)
      return Promise.reject(conflict(delivery, 'is already acked', 'nack'))
    if (partition.phase === 'closed' || delivery.state === DeliveryState.Dropped)
      return Promise.reject(goneError(partition))
    if (delivery.nacked !== undefined || delivery.state !== DeliveryState.Running) return Promise.resolve()
    const cause = inspectable(reason ?? new Error('nack() was called'))
    delivery.nacked = { reason: cause }
    // While its handler is running the attempt continues; it fails when the handler ends.
    if (!delivery.handling) this.#host.failed(delivery, partition, cause, false)
    return Promise.resolve()
  }
}

/** The attempt is over or was taken back, and can no longer succeed. */
function hasFailed({ state }: Delivery): boolean {
  return state === DeliveryState.Waiting || state === DeliveryState.Retrying || state === DeliveryState.GivenUp
}

function conflict(delivery: Delivery, what: string, operation: string): StreamError {
  return new StreamError(`message ${delivery.id} ${what}`, { code: 'CONFLICT', topic: delivery.topic, operation })
}
