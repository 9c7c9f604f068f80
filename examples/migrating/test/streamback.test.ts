import { expect, it } from 'vitest'
import { replacesOnKafka } from './support/kafka-replacement.js'

it('a streamback service is replaced and brought back, and answers requests of both kinds', { timeout: 180_000 }, () =>
  replacesOnKafka(
    'streamback',
    { consumer: 'old-consumer.py', producer: 'old-producer.py' },
    {
      alone: async (recipe, orders) => {
        for (const caller of ['old-caller.py', 'caller.ts']) {
          const [id = ''] = orders.next(1)
          expect(await recipe.run(caller, id, '12'), caller).toEqual([`reply ${id}`])
          const failed = expect.stringMatching(/^failed .*negative total/)
          expect(await recipe.run(caller, 'order-x', '-1'), caller).toEqual([failed])
        }
        await orders.allOnce()
      },
    },
  ),
)
