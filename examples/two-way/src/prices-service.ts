import type { Transport } from '@streamswitch/core'
import { centsOf, type Price, type PriceRequest, type RunningService, running, TOPICS } from './service.js'

/** Answers each request with one price: what a handler returns is the reply. */
export function startPrices(transport: Transport): Promise<RunningService> {
  const loop = transport.consumer<PriceRequest>(TOPICS.prices, { group: 'catalogue' })
  loop.handle(async ({ value: { article } }): Promise<Price> => ({ article, cents: centsOf(article) }))
  return running(loop)
}
