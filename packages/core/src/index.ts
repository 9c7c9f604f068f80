export { bytesCodec, type Codec, type CodecName, jsonCodec, textCodec } from './codec.js'
export { ConsumerFactory, type ConsumerFactoryOptions } from './compose/consumer-factory.js'
export {
  HandlerFactory,
  type HandlerFactoryOptions,
  type Queue,
  type QueueConsumer,
  type QueueMap,
  type QueueProducer,
} from './compose/handler-factory.js'
export type { HealthError, LoopHealth, ProducerHealth, RunnerHealth, RunnerState } from './compose/health.js'
export type { HealthServerOptions } from './compose/health-server.js'
export type { NamedLoop, RunnerPart } from './compose/parts.js'
export { type Route, type RouteOptions, Router } from './compose/router.js'
export { ConsumerRunner } from './compose/runner.js'
export type { RunnerHook, RunnerOptions, RunOptions } from './compose/runner-options.js'
export type { LoopState } from './compose/running-loop.js'
export type { TransportChoice } from './compose/transport-pool.js'
export type { ConsumerEvents, ConsumerStats } from './consumer/consumer-events.js'
export { ConsumerLoop, type ConsumerLoopClass } from './consumer/consumer-loop.js'
export type { ConsumerLoopOptions, ConsumerSettings } from './consumer/consumer-options.js'
export type { ErrorPolicy } from './consumer/failures.js'
export type { BatchHandler } from './consumer/handler-batches.js'
export type { HandlerMiddleware } from './consumer/handler-middleware.js'
export type { OutputTarget } from './consumer/handler-outputs.js'
export type { HandleBatchOptions, HandleOptions } from './consumer/loop-handler.js'
export type { AssignedHook, RevokedHook } from './consumer/partition-hooks.js'
export type { ErrorClass, RetryRule, RetryTest } from './consumer/retry-test.js'
export type { PartitionPositionsInput } from './consumer/start-positions.js'
export type { StoppedPartition } from './consumer/stopped-partitions.js'
export type { AdapterDefinition, Admin, Provision, Retention, TopicInfo, TopicSpec } from './contract/adapter.js'
export {
  CAPABILITY_NAMES,
  type Capabilities,
  type CapabilityName,
  type CapabilityValue,
} from './contract/capabilities.js'
export type { PartitionAssignment, PartitionLag, RemovedRange, StartPosition } from './contract/consumer-driver.js'
export type { DeadLetter, DeadLetterDetails } from './dead-letters/dead-letter.js'
export {
  DeadLetterBox,
  type DeadLetterBoxOptions,
  type DeadLetterListOptions,
  type DeadLetterOutcome,
  type DeadLetterSelection,
} from './dead-letters/dead-letter-box.js'
export { deadLetterTopic } from './dead-letters/dead-letter-target.js'
export type { DeadLetterPage } from './dead-letters/page.js'
export type {
  ClaimAnswer,
  CompletionAnswer,
  DedupeClaim,
  DedupeMark,
  DedupeStore,
  MarkSettlement,
} from './dedupe/dedupe-store.js'
export { DedupeTransaction, type RunInTransaction } from './dedupe/dedupe-transaction.js'
export { MemoryDedupeStore } from './dedupe/memory-dedupe-store.js'
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
export type { LastError } from './events.js'
export { Reply } from './feedback/reply.js'
export type { RequestOptions } from './feedback/request.js'
export type { Logger } from './logger.js'
export type { Handler, Headers, Listener, Message } from './message.js'
export { isPortableName } from './names.js'
export type { CloseOptions } from './options/call-options.js'
export { type BatchEntry, batchEntry } from './producer/batch-entry.js'
export type { SendReceipt } from './producer/pending-record.js'
export { Producer, type ProducerClass, type ProducerOptions, type ProducerSettings } from './producer/producer.js'
export type { ProducerEvents, ProducerStats } from './producer/producer-events.js'
export type { SendOptions } from './producer/producer-options.js'
export type { OutgoingMessage, SendMiddleware } from './producer/send-middleware.js'
export { OFFICIAL_ADAPTERS, type OfficialAdapter, type OfficialName } from './registry/official-adapters.js'
export { availableAdapters, CONSUMER_LOOPS, PRODUCERS, registerAdapter } from './registry/registry.js'
export type { Schema } from './schema.js'
export type { Secret } from './secret.js'
export { type TopicPattern, type TopicSelection, topicPattern } from './topic-pattern.js'
export { openTransport } from './transport/open-transport.js'
export { Transport, type TransportMiddleware, type TransportOptions } from './transport/transport.js'
export { redactUrl } from './transport/url.js'
export { DEAD_LETTER_HEADERS, REPLY_HEADERS } from './wire/reserved-headers.js'
