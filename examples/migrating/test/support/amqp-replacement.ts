import { deletesAfterwards, idleWith } from './amqp.js'
import { AMQP_URL } from './brokers.js'
import { nameIn, Orders, Recipe, untilShared } from './recipe.js'

/** The files of a page. */
export interface QueuePage {
  readonly oldConsumer: string
  readonly oldProducer: string
  readonly consumer: string
  readonly producer: string
  readonly hasExchange: boolean
  /** Called with the old member alone, and with the new one alone. */
  alone?(recipe: Recipe, orders: Orders): Promise<void>
}

/** Follows the steps of a page on one queue: old, both, new, both, old. Every order is charged once, by one of the members. */
export async function replacesOnQueue(page: string, files: QueuePage): Promise<void> {
  const [queue, exchange] = [nameIn(page, 'billing'), nameIn(page, 'orders')]
  const recipe = new Recipe(page, {
    STREAMSWITCH_URL: AMQP_URL,
    STREAMSWITCH_TOPIC_NAMES: `jobs=${queue},events=${exchange}`,
    AMQP_QUEUES: 'jobs',
  })
  deletesAfterwards([queue], files.hasExchange ? exchange : undefined)
  const orders = new Orders()
  const produce = (file: string) => (ids: readonly string[]) => recipe.run(file, ...ids)
  const [sendOld, send] = [produce(files.oldProducer), produce(files.producer)]

  const old = orders.chargedBy(await recipe.start(files.oldConsumer))
  await idleWith(queue, 1)
  await sendOld(orders.next(20))
  await orders.allOnce()
  await files.alone?.(recipe, orders)
  const replacement = orders.chargedBy(await recipe.start(files.consumer))
  await idleWith(queue, 2)
  await untilShared(orders, send, [old, replacement])
  await untilShared(orders, sendOld, [old, replacement])
  await old.stop()
  await idleWith(queue, 1)
  await sendOld(orders.next(20))
  await orders.allOnce()
  await files.alone?.(recipe, orders)

  const restored = orders.chargedBy(await recipe.start(files.oldConsumer))
  await idleWith(queue, 2)
  await untilShared(orders, sendOld, [restored, replacement])
  await replacement.stop()
  await send(orders.next(20))
  await orders.allOnce()
  await restored.stop()
}
