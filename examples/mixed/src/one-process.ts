import { ConsumerRunner } from '@streamswitch/core'
import type { Books } from './books.js'
import type { Order } from './orders.js'
import { openShop } from './queues.js'
import { quietLogger } from './quiet-logger.js'
import { sendOrders } from './send-orders.js'
import { addServices } from './services.js'

/** Runs all services in this process, until every receipt is booked or a signal comes. */
export async function runInOneProcess(
  environment: NodeJS.ProcessEnv,
  orders: readonly Order[],
  books: Books,
): Promise<void> {
  const shop = openShop(environment, quietLogger)
  addServices(shop, (state) => books.told(state))
  const runner = new ConsumerRunner([shop], {
    environment,
    logger: quietLogger,
    afterStartup: () => sendOrders(shop, orders),
  })
  const run = runner.run()
  // A stop that nobody here asked for was a signal's.
  const stopped = run.then(() => Promise.reject(new Error('interrupted')))
  try {
    await Promise.race([books.complete, stopped])
  } finally {
    stopped.catch(() => {})
    await runner.stop()
  }
  await run
}
