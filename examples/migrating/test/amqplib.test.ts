import { it } from 'vitest'
import { replacesOnQueue } from './support/amqp-replacement.js'

it('a service that consumes a queue by amqplib is replaced beside it, and brought back', { timeout: 180_000 }, () =>
  replacesOnQueue('amqplib', {
    oldConsumer: 'old-consumer.ts',
    oldProducer: 'old-producer.ts',
    consumer: 'consumer.ts',
    producer: 'producer.ts',
    hasExchange: true,
  }),
)
