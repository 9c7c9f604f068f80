import { expect, it } from 'vitest'
import { REDIS_URL } from './support/brokers.js'
import { nameIn, Orders, Recipe } from './support/recipe.js'
import { nothingPending, plainClient } from './support/redis.js'

it('a telstar service is replaced on its stream and in its group, and brought back', { timeout: 90_000 }, async () => {
  const [stream, group] = [`telstar:stream:${nameIn('telstar', 'orders')}`, nameIn('telstar', 'billing')]
  const recipe = new Recipe('telstar', {
    STREAMSWITCH_URL: REDIS_URL,
    STREAMSWITCH_TOPIC_NAMES: `${nameIn('telstar', 'orders')}=${stream}`,
    STREAMSWITCH_PROVISION: 'create',
  })
  const client = plainClient(nameIn('telstar', 'orders'))
  const orders = new Orders()
  const produce = (file: string) => (ids: readonly string[]) => recipe.run(file, ...ids)
  const [sendOld, send] = [produce('old-producer.py'), produce('producer.ts')]

  const untouched = orders.chargedBy(await recipe.start('old-consumer.py'))
  await sendOld(orders.next(10))
  await orders.allOnce()
  await nothingPending(stream, group)
  await untouched.stop()

  const old = orders.chargedBy(await recipe.start('shared-consumer.py'))
  const replacement = orders.chargedBy(await recipe.start('consumer.ts'))
  // Whichever of the two reads first takes what was written at once.
  await sendOld(orders.next(10))
  await send(orders.next(10))
  await orders.allOnce()
  await nothingPending(stream, group)
  await old.stop()
  await sendOld(orders.next(10))
  await orders.allOnce()
  const [[, fields] = ['', []]] = await client.xrange(stream, '-', '+', 'COUNT', 1)
  await client.xadd(stream, '*', ...fields)

  await nothingPending(stream, group)
  await replacement.stop()
  const restored = orders.chargedBy(await recipe.start('shared-consumer.py'))
  await send(orders.next(10))
  await sendOld(orders.next(10))
  await orders.allOnce()
  await nothingPending(stream, group)
  await restored.stop()
  expect(await client.xlen(stream), 'the same message sent again was skipped').toBe(orders.sent.length + 1)
})
