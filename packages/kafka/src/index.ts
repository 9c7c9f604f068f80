export { adapter, adapter as default, KafkaConsumerLoop, KafkaProducer } from './adapter.js'
export type { KafkaConsumerOptions, KafkaOptions, KafkaProducerOptions } from './options.js'
