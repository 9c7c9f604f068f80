/** Address of the Redis that the tests use. */
export const brokerUrl = process.env.STREAMSWITCH_TEST_REDIS_URL ?? 'redis://127.0.0.1:6379'
