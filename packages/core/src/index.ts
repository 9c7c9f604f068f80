export { bytesCodec, type Codec, type CodecName, jsonCodec, textCodec } from './codec.js'
export type { ConsumerEvents, ConsumerStats } from './consumer/consumer-events.js'
export { ConsumerLoop, type ConsumerLoopClass } from './consumer/consumer-loop.js'
export type { ConsumerLoopOptions, ConsumerSettings } from './consumer/consumer-options.js'
export { deadLetterTopic } from './consumer/dead-letters.js'
export type { AdapterDefinition, Admin, Provision, Retention, TopicInfo, TopicSpec } from './contract/adapter.js'
export {
  CAPABILITY_NAMES,
  type Capabilities,
  type CapabilityName,
  type CapabilityValue,
} from './contract/capabilities.js'
export type { PartitionAssignment, PartitionLag, StartPosition } from './contract/consumer-driver.js'
export {
  BatchError,
  type BatchFailure,
  ERROR_CODES,
  type ErrorCode,
  isBatchError,
  isStreamError,
  StreamError,
  type StreamErrorOptions,
  toStreamError,
} from './errors.js'
export { Reply } from './feedback/reply.js'
export type { RequestOptions } from './feedback/request.js'
export type { Logger } from './logger.js'
export type { Handler, Headers, Message } from './message.js'
export { isPortableName } from './names.js'
export type { SendReceipt } from './producer/pending-record.js'
export {
  type BatchEntry,
  batchEntry,
  Producer,
  type ProducerClass,
  type ProducerEvents,
  type ProducerOptions,
  type ProducerSettings,
} from './producer/producer.js'
export type { SendOptions } from './producer/producer-options.js'
export type { ProducerStats } from './producer/send-pipeline.js'
export { OFFICIAL_ADAPTERS, type OfficialAdapter, type OfficialName } from './registry/official-adapters.js'
export { availableAdapters, CONSUMER_LOOPS, PRODUCERS, registerAdapter } from './registry/registry.js'
export type { Schema } from './schema.js'
export type { Secret } from './secret.js'
export { openTransport } from './transport/open-transport.js'
export { Transport, type TransportOptions } from './transport/transport.js'
export { redactUrl } from './transport/url.js'
export { DEAD_LETTER_HEADERS, REPLY_HEADERS } from './wire/reserved-headers.js'
