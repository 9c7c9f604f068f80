import { it } from 'vitest'
import { REDIS_URL } from './support/brokers.js'
import { Orders, Recipe, untilShared } from './support/recipe.js'
import { nothingPending, plainClient } from './support/redis.js'

it('a service that reads a stream by ioredis is replaced in its group, and brought back', {
  timeout: 180_000,
}, async () => {
  const recipe = new Recipe('ioredis', { STREAMSWITCH_URL: REDIS_URL })
  const [stream, group] = [recipe.nameOf('orders'), recipe.nameOf('billing')]
  plainClient(stream)
  const orders = new Orders()
  const produce = (file: string) => (ids: readonly string[]) => recipe.run(file, ...ids)
  const [sendOld, send] = [produce('old-producer.ts'), produce('producer.ts')]

  const untouched = orders.chargedBy(await recipe.start('old-consumer.ts'))
  await sendOld(orders.next(20))
  await orders.allOnce()
  await untouched.stop()

  const old = orders.chargedBy(await recipe.start('shared-consumer.ts'))
  const replacement = orders.chargedBy(await recipe.start('consumer.ts'))
  await untilShared(orders, send, [old, replacement])
  await untilShared(orders, sendOld, [old, replacement])
  await nothingPending(stream, group)
  await old.stop()
  await sendOld(orders.next(20))
  await orders.allOnce()

  await nothingPending(stream, group)
  await replacement.stop()
  const restored = orders.chargedBy(await recipe.start('shared-consumer.ts'))
  await send(orders.next(20))
  await sendOld(orders.next(20))
  await orders.allOnce()
  await restored.stop()
})
