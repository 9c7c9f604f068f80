import { expect, it } from 'vitest'
import { replacesOnQueue } from './support/amqp-replacement.js'

it('a NestJS service on RabbitMQ is replaced and brought back, and its clients get replies', { timeout: 180_000 }, () =>
  replacesOnQueue('nestjs', {
    oldConsumer: 'old-rmq-consumer.ts',
    oldProducer: 'old-rmq-producer.ts',
    consumer: 'rmq-consumer.ts',
    producer: 'rmq-producer.ts',
    hasExchange: false,
    alone: async (recipe, orders) => {
      const [id = ''] = orders.next(1)
      expect(await recipe.run('old-rmq-caller.ts', id)).toContain(`reply ${id}`)
      await orders.allOnce()
    },
  }),
)
