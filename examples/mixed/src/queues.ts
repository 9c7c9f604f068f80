import { HandlerFactory, type Logger } from '@streamswitch/core'
import type { Order, Payment, Receipt } from './orders.js'

/** The queues of the shop, and what travels in them. */
interface Queues {
  orders: Order
  payments: Payment
  receipts: Receipt
}

export type Shop = HandlerFactory<Queues>

/** Many handlers at once, and failures that pass. */
const LOOP = { concurrency: 32, retry: { attempts: 50, minDelayMs: 10, maxDelayMs: 500 } } as const

/** Where each queue is: the deployment's side of the example. Without a variable it is in memory. */
export function openShop(environment: NodeJS.ProcessEnv, logger: Logger): Shop {
  const { MIXED_ORDERS_URL, MIXED_PAYMENTS_URL, MIXED_RECEIPTS_URL } = environment
  const at = (url: string | undefined) => {
    const transport = url || 'memory://'
    return { partitions: 4, consumerLoop: { transport, ...LOOP }, producer: transport }
  }
  return new HandlerFactory<Queues>(
    { orders: at(MIXED_ORDERS_URL), payments: at(MIXED_PAYMENTS_URL), receipts: at(MIXED_RECEIPTS_URL) },
    { group: 'shop', environment, logger },
  )
}

/** Deletes what a run has made. Its loops and producers have to be closed. */
export async function deleteQueues(environment: NodeJS.ProcessEnv, logger: Logger): Promise<void> {
  await using shop = openShop(environment, logger)
  for (const { topic, transport } of shop.producers.values())
    await transport.admin.deleteTopic(transport.topicSpec(topic))
}
