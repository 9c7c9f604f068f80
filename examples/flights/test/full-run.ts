/** The checksum of all 20,000 departures, the same on every transport. */
export const FULL_CHECKSUM = '4acbe0a2ff6951ca'

/** How many alerts they give. */
export const FULL_ALERTS = 208

/** Where the broker for tests listens. A test that finds nobody there fails. */
export const REDIS_URL = process.env['STREAMSWITCH_TEST_REDIS_URL'] ?? 'redis://127.0.0.1:6379'

/** The other brokers that the demo is run on. */
export const KAFKA_URL = process.env.STREAMSWITCH_TEST_KAFKA_URL ?? 'kafka://127.0.0.1:9092'
export const AMQP_URL = process.env.STREAMSWITCH_TEST_AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672'
export const RABBITMQ_STREAM_URL =
  process.env.STREAMSWITCH_TEST_RABBITMQ_STREAM_URL ?? 'rabbitmq-stream://guest:guest@127.0.0.1:5552'
