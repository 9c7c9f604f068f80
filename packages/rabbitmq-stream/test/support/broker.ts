/** The broker that tests use. */
export const BROKER_URL =
  process.env['STREAMSWITCH_TEST_RABBITMQ_STREAM_URL'] ?? 'rabbitmq-stream://guest:guest@127.0.0.1:5552'

/** The same broker's AMQP 0-9-1 port, for the foreign client. */
export const AMQP_URL = process.env['STREAMSWITCH_TEST_AMQP_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672'
