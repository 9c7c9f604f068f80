export { AmqpConsumerLoop, AmqpProducer, adapter, adapter as default } from './adapter.js'
export type { AmqpConsumerOptions, AmqpOptions, AmqpProducerOptions } from './options.js'
