import type { Order } from './orders.js'
import type { Shop } from './queues.js'

/** What a shop's web site would do. Resolves when all orders are accepted. */
export async function sendOrders(shop: Shop, orders: readonly Order[]): Promise<void> {
  const producer = shop.producer('orders')
  await Promise.all(
    orders.map((order) =>
      producer.send(order, { key: order.customer, id: `order-${order.customer}-${order.sequence}` }),
    ),
  )
}
