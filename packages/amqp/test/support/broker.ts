/** The broker that tests run against: `STREAMSWITCH_TEST_AMQP_URL`, else the default port of this machine. */
export const brokerUrl = process.env['STREAMSWITCH_TEST_AMQP_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672'

/** Its management API: `STREAMSWITCH_TEST_RABBITMQ_MANAGEMENT_URL`, else the default port of this machine. */
export const managementUrl = process.env['STREAMSWITCH_TEST_RABBITMQ_MANAGEMENT_URL'] ?? 'http://127.0.0.1:15672'
