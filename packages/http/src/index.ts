export { adapter, adapter as default, HttpConsumerLoop, HttpProducer } from './adapter.js'
export type { HttpNative } from './connection.js'
export type { HttpConsumerOptions, HttpOptions, HttpProducerOptions } from './options.js'
