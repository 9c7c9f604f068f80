import { it } from 'vitest'
import { replacesOnKafka } from './support/kafka-replacement.js'

it(
  'a kstreams service is replaced member by member on its topic and in its group, and brought back',
  { timeout: 180_000 },
  () => replacesOnKafka('kstreams', { consumer: 'old-consumer.py', producer: 'old-producer.py' }),
)
