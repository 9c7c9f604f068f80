/**
 * The entry point for adapters: everything an adapter needs and may use. What isn't exported here is internal to core.
 */

export { answerDeadline } from './answer-deadline.js'
export { arrivedHeaders, arrivedId, arrivedKey, arrivedReplyTo, arrivedTimestamp } from './arrival/arrived.js'
export { atMost } from './at-most.js'
export { type Backoff, backoffDelayMs, RECONNECT_BACKOFF } from './backoff.js'
export { type CleartextSecret, warnOfCleartext } from './cleartext.js'
export { type CompressionName, Compressions } from './compression/codecs.js'
export { type AttemptHistory, historyOf } from './consumer/attempt-notes.js'
export { ConsumerLoop, type ConsumerLoopClass } from './consumer/consumer-loop.js'
export type { ConsumerLoopOptions, ConsumerSettings } from './consumer/consumer-options.js'
export { Delivery, type DeliveryFields } from './consumer/delivery.js'
export type { HandlerMiddleware } from './consumer/handler-middleware.js'
export type {
  AdapterDefinition,
  Admin,
  ConsumerSpec,
  GroupNames,
  NativeNameRules,
  ProducerSpec,
  Provision,
  Retention,
  TopicDiscovery,
  TopicInfo,
  TopicSearch,
  TopicSpec,
  TransportContext,
  TransportDriver,
} from './contract/adapter.js'
export {
  CAPABILITY_NAMES,
  type Capabilities,
  type CapabilityName,
  type CapabilityValue,
} from './contract/capabilities.js'
export {
  type AttemptJournal,
  type ConsumerDriver,
  type ConsumerSink,
  type OutOfRange,
  type PartitionAssignment,
  type PartitionLag,
  type PartitionPositions,
  type RemovedRange,
  type StartPosition,
  startOf,
} from './contract/consumer-driver.js'
export { keepsNativeHeader, type NativeForm, type OriginalRecord } from './contract/native-form.js'
export type { ProducerDriver, ProducerReady, ProducerSink } from './contract/producer-driver.js'
export type { OutgoingRecord, PublishBatch } from './contract/record.js'
export type {
  IncomingReply,
  ReplyChannel,
  ReplyInboxDriver,
  ReplyInboxSink,
  ReplyInboxSpec,
  ReplySenderSpec,
  ReplyTarget,
} from './contract/replies.js'
export { DEAD_LETTER_GROUP } from './dead-letters/dead-letter-group.js'
export { deadLetterTopic } from './dead-letters/dead-letter-target.js'
export type {
  ClaimAnswer,
  CompletionAnswer,
  DedupeClaim,
  DedupeMark,
  DedupeStore,
  MarkSettlement,
} from './dedupe/dedupe-store.js'
export { Deque } from './deque.js'
export {
  type ErrorCode,
  isStreamError,
  messageOf,
  StreamError,
  type StreamErrorOptions,
  toStreamError,
} from './errors.js'
export { formatReplyAddress, isInboxBelow, requestIdOf } from './feedback/reply-address.js'
export { FetchBudget, type MeasuredFetch } from './fetch-budget.js'
export {
  AmqpBody,
  AmqpReader,
  AmqpSection,
  type AmqpValue,
  amqpBodyOf,
  isBody,
  readDescriptor,
  toHeaderText,
} from './formats/amqp10.js'
export {
  bracketed,
  environmentText,
  type HostAddress,
  hostsOption,
  hostTexts,
  isLoopback,
  isNamedByAddress,
  type NamedHost,
  parseHostText,
  parseNamedHost,
} from './host-address.js'
export type { Logger } from './logger.js'
export type { Handler, Headers, Listener, Message } from './message.js'
export { isPortableName } from './names.js'
export { escapeName } from './native-names/escape.js'
// With a star: otherwise adapters can't augment it.
export * from './options/adapter-option-types.js'
export { type CloseOptions, closeFields, requireNames, withOptions } from './options/call-options.js'
export {
  type GroupField,
  type OptionField,
  type OptionFields,
  type OptionInput,
  type OptionValues,
  option,
} from './options/fields.js'
export { Problems } from './options/problems.js'
export { printable } from './printable.js'
export { Producer, type ProducerClass, type ProducerOptions } from './producer/producer.js'
export { OFFICIAL_ADAPTERS, officialIdentity } from './registry/official-adapters.js'
export { readSecret, type Secret, secretOption } from './secret.js'
export { withSignal } from './session.js'
export { signOfLife } from './sign-of-life.js'
export { type ErrorMeaning, exhaustion, systemErrorMeaning } from './system-errors.js'
export { everyInStep, untilNextStep } from './time.js'
export { checkTogether, readPem, readTls, type TlsOptions, type TlsSettings, tlsFields } from './tls.js'
export { partitionConflict, topicLabel, topicMissing } from './topic-errors.js'
export { matchesPattern, type TopicSelection } from './topic-pattern.js'
export { driverOf, openPartsOf, Transport, type TransportOptions } from './transport/transport.js'
export type { TransportUrl } from './transport/url.js'
export { MAX_HEADERS_BYTES, MAX_ID_BYTES, MAX_KEY_BYTES, MAX_TIMESTAMP } from './wire/limits.js'
export {
  DEAD_LETTER_HEADERS,
  REPLY_HEADERS,
  RESERVED_PREFIX,
  ROUTING_HEADERS,
  WIRE_HEADERS,
} from './wire/reserved-headers.js'
