import { expect, it } from 'vitest'
import { nothingPending } from './support/kafka.js'
import { replacesOnKafka } from './support/kafka-replacement.js'

it(
  'a kafkajs service is replaced member by member on its topic and in its group, and brought back',
  { timeout: 180_000 },
  () =>
    replacesOnKafka(
      'kafkajs',
      { consumer: 'shared-consumer.ts', producer: 'old-producer.ts' },
      {
        before: async (recipe, orders, sendOld) => {
          const untouched = orders.chargedBy(await recipe.start('old-consumer.ts'))
          await sendOld(orders.next(20))
          await orders.allOnce()
          const refused = await (await recipe.start('consumer.ts')).ended
          expect(refused.errors, 'before the first step').toContain('CONFLICT')
          await nothingPending(recipe.nameOf('orders'), recipe.nameOf('billing'))
          await untouched.stop()
        },
      },
    ),
)
