export { AmqpConsumerLoop, AmqpProducer, adapter, adapter as default } from './adapter.js'
export type { AmqpOptions } from './options.js'
