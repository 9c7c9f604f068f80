import { StreamError, type Transport } from '@streamswitch/core'
import { type Payment, type RunningService, running, TOPICS } from './service.js'

/** Declines every card: the caller gets the error, with its code. */
export function startPayments(transport: Transport): Promise<RunningService> {
  const loop = transport.consumer<Payment>(TOPICS.payments, { group: 'bank', errorPolicy: 'restart' })
  loop.handle(async ({ value: { card } }) => {
    throw new StreamError(`card ${card} declined`, { code: 'PERMISSION_DENIED', operation: 'pay' })
  })
  return running(loop)
}
