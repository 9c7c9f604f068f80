export { adapter, adapter as default, RedisConsumerLoop, RedisProducer } from './adapter.js'
export { RedisDedupeStore } from './dedupe-store.js'
export type { Durability, RedisOptions, RedisProducerOptions } from './options.js'
