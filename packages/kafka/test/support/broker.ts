/** The broker that tests run against: `STREAMSWITCH_TEST_KAFKA_URL`, else the default port of this machine. */
export const brokerUrl = process.env.STREAMSWITCH_TEST_KAFKA_URL ?? 'kafka://127.0.0.1:9092'

/** Its address as foreign clients take it. */
export const brokerAddress = brokerUrl.replace(/^kafka:\/\//, '').replace(/\?.*$/, '')
