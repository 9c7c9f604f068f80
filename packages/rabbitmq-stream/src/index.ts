export { adapter, adapter as default, RabbitmqStreamConsumerLoop, RabbitmqStreamProducer } from './adapter.js'
export type { RabbitmqStreamConsumerOptions, RabbitmqStreamOptions, RabbitmqStreamProducerOptions } from './options.js'
