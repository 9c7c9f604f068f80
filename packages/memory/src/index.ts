export { adapter, adapter as default, MemoryConsumerLoop, MemoryProducer } from './adapter.js'
export type { MemoryOptions, MemoryProducerOptions } from './options.js'
