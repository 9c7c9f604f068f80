import type { StreamError } from '../errors.js'
import type { Delivery } from './delivery.js'

/** The broker has taken the ack: tells those who wait for it. */
export function resolveAckWaiters(delivery: Delivery): void {
  const waiters = delivery.ackWaiters
  if (waiters === undefined) return
  delivery.ackWaiters = undefined
  for (const waiter of waiters) waiter.resolve()
}

/** There will be no ack: tells those who wait for it. */
export function rejectAckWaiters(delivery: Delivery, error: StreamError): void {
  const waiters = delivery.ackWaiters
  if (waiters === undefined) return
  delivery.ackWaiters = undefined
  for (const waiter of waiters) waiter.reject(error)
}
