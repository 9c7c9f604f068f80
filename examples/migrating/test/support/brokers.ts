/** The brokers that the recipes run against: those that the variables name, else the default ports of this machine. */
export const KAFKA_URL = process.env.STREAMSWITCH_TEST_KAFKA_URL ?? 'kafka://127.0.0.1:9092'
export const REDIS_URL = process.env.STREAMSWITCH_TEST_REDIS_URL ?? 'redis://127.0.0.1:6379'
export const AMQP_URL = process.env.STREAMSWITCH_TEST_AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672'
export const STREAM_URL =
  process.env.STREAMSWITCH_TEST_RABBITMQ_STREAM_URL ?? 'rabbitmq-stream://guest:guest@127.0.0.1:5552'

/** `host:port` of a URL. */
export function addressOf(url: string): string {
  return new URL(url.replace(/^[a-z-]+:/, 'http:')).host
}
