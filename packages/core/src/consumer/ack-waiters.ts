import type { StreamError } from '../errors.js'
import type { Delivery } from './delivery.js'

/** The broker has confirmed the ack: resolves the promises that wait for it. */
export function resolveAckWaiters(delivery: Delivery): void {
  const waiters = delivery.ackWaiters
  if (waiters === undefined) return
  delivery.ackWaiters = undefined
  for (const waiter of waiters) waiter.resolve()
}

/** There will be no ack: rejects the promises that wait for it. */
export function rejectAckWaiters(delivery: Delivery, error: StreamError): void {
  const waiters = delivery.ackWaiters
  if (waiters === undefined) return
  delivery.ackWaiters = undefined
  for (const waiter of waiters) waiter.reject(error)
}
