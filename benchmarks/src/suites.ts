import type { Comparison } from './harness.js'
import { kafkaPerformance, redisBenchmark } from './tools.js'

/** The comparisons of one transport, and the broker's own tools beside them. */
export interface Suite {
  readonly comparisons: readonly Comparison[]
  readonly tools?: readonly (() => Promise<string>)[]
}

export type SuiteName = 'redis' | 'kafka' | 'amqp' | 'rabbitmq-stream' | 'http'

const address = (variable: string, fallback: string): string => process.env[variable] ?? fallback

/** By transport. Each is loaded when it is asked for, so that a benchmark of one needs one broker. */
export const SUITES: Readonly<Record<SuiteName, () => Promise<Suite>>> = {
  redis: async () => {
    const url = address('STREAMSWITCH_TEST_REDIS_URL', 'redis://127.0.0.1:6379')
    const { redisComparisons } = await import('./drivers/redis.js')
    return { comparisons: redisComparisons(url), tools: [() => redisBenchmark(url)] }
  },
  kafka: async () => {
    const url = address('STREAMSWITCH_TEST_KAFKA_URL', 'kafka://127.0.0.1:9092')
    const { kafkaComparisons } = await import('./drivers/kafka.js')
    return { comparisons: kafkaComparisons(url), tools: [() => kafkaPerformance(new URL(url).host)] }
  },
  amqp: async () => {
    const url = address('STREAMSWITCH_TEST_AMQP_URL', 'amqp://guest:guest@127.0.0.1:5672')
    const { amqpComparisons } = await import('./drivers/amqp.js')
    return { comparisons: amqpComparisons(url) }
  },
  'rabbitmq-stream': async () => {
    const url = address('STREAMSWITCH_TEST_RABBITMQ_STREAM_URL', 'rabbitmq-stream://guest:guest@127.0.0.1:5552')
    const { rabbitmqStreamComparisons } = await import('./drivers/rabbitmq-stream.js')
    return { comparisons: rabbitmqStreamComparisons(url) }
  },
  http: async () => ({ comparisons: (await import('./drivers/http.js')).httpComparisons() }),
}
