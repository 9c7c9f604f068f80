import { expect, it } from 'vitest'
import { replacesOnKafka } from './support/kafka-replacement.js'

it('a NestJS service on Kafka is replaced and brought back, and its clients get replies', { timeout: 180_000 }, () =>
  replacesOnKafka(
    'nestjs',
    { consumer: 'old-consumer.ts', producer: 'old-producer.ts' },
    {
      groupOf: (group) => `${group}-server`,
      alone: async (recipe, orders) => {
        const [id = ''] = orders.next(1)
        expect(await recipe.run('old-caller.ts', id)).toContain(`reply ${id}`)
        await orders.allOnce()
      },
    },
  ),
)
