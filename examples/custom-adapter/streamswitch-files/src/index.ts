export { adapter as default, FilesConsumerLoop, FilesProducer } from './adapter.js'
export type { FilesOptions } from './options.js'
