import type { Comparison } from './measuring/case.js'

export type SuiteName = 'core' | 'redis' | 'kafka' | 'amqp' | 'rabbitmq-stream' | 'http' | 'request'

const address = (variable: string, fallback: string): string => process.env[variable] ?? fallback

export const redisUrl = (): string => address('STREAMSWITCH_TEST_REDIS_URL', 'redis://127.0.0.1:6379')
const kafkaUrl = (): string => address('STREAMSWITCH_TEST_KAFKA_URL', 'kafka://127.0.0.1:9092')
export const amqpUrl = (): string => address('STREAMSWITCH_TEST_AMQP_URL', 'amqp://guest:guest@127.0.0.1:5672')
const rabbitmqStreamUrl = (): string =>
  address('STREAMSWITCH_TEST_RABBITMQ_STREAM_URL', 'rabbitmq-stream://guest:guest@127.0.0.1:5552')

/** By transport. Each is loaded when it is asked for, so that a benchmark of one needs one broker. */
export const SUITES: Readonly<Record<SuiteName, () => Promise<readonly Comparison[]>>> = {
  core: async () => (await import('./comparisons/core.js')).coreComparisons(),
  redis: async () => (await import('./comparisons/redis.js')).redisComparisons(redisUrl()),
  kafka: async () => (await import('./comparisons/kafka.js')).kafkaComparisons(kafkaUrl()),
  amqp: async () => (await import('./comparisons/amqp.js')).amqpComparisons(amqpUrl()),
  'rabbitmq-stream': async () =>
    (await import('./comparisons/rabbitmq-stream.js')).rabbitmqStreamComparisons(rabbitmqStreamUrl()),
  http: async () => (await import('./comparisons/http.js')).httpComparisons(),
  request: async () => (await import('./comparisons/requests.js')).requestComparisons(),
}
