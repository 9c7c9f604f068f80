import { expect, it } from 'vitest'
import { REDIS_URL } from './support/brokers.js'
import { Orders, Recipe, WAIT } from './support/recipe.js'
import { plainClient } from './support/redis.js'

it('entries of telstar are handled once, and telstar consumers handle those of Streamswitch', {
  timeout: 180_000,
}, async () => {
  const recipe = new Recipe('telstar', { STREAMSWITCH_URL: REDIS_URL })
  const [ours, group] = [recipe.nameOf('orders'), recipe.nameOf('billing')]
  const theirs = `telstar:stream:${ours}`
  const client = plainClient(ours)
  const copy = async (from: string, to: string): Promise<void> => {
    for (const [, fields] of await client.xrange(from, '-', '+')) await client.xadd(to, '*', ...fields)
  }
  const seen = async () => (await client.keys(`telstar:seen:${ours}:${group}:*`)).length
  const orders = new Orders()
  const consumer = orders.chargedBy(await recipe.start('consumer.ts'))
  await recipe.run('old-producer.py', ...orders.next(10))
  await copy(theirs, ours)
  await orders.allOnce()
  await expect.poll(seen, WAIT).toBe(10)
  // The same messages sent again are other entries.
  await copy(theirs, ours)
  await recipe.run('producer.ts', ...orders.next(1))
  await orders.allOnce()
  await consumer.stop()

  await recipe.run('producer.ts', ...orders.next(10))
  await copy(ours, theirs)
  const old = orders.chargedBy(await recipe.start('shared-consumer.py'))
  await orders.allOnce()
  await expect.poll(seen, WAIT).toBe(21)
  await old.stop()
  expect(old.charged, 'what the marks of the other say is handled is skipped').toHaveLength(10)

  const again = orders.chargedBy(await recipe.start('consumer.ts'))
  await recipe.run('producer.ts', ...orders.next(1))
  await orders.allOnce()
  await again.stop()
})
