import { type ErrorMeaning, isStreamError, messageOf, StreamError, systemErrorMeaning } from '@streamswitch/core/driver'

const UNAVAILABLE: ErrorMeaning = { code: 'UNAVAILABLE' }
const FENCED: ErrorMeaning = {
  code: 'ABORTED',
  retryable: false,
  advice: 'the member was removed from its group; its partitions belong to others',
}

/** Error names of the protocol (Kafka protocol guide, "Error Codes"), as kafkajs spells them. */
const PROTOCOL: Readonly<Record<string, ErrorMeaning>> = {
  UNKNOWN_TOPIC_OR_PARTITION: {
    code: 'NOT_FOUND',
    retryable: false,
    advice: "create the topic, or open the transport with provision: 'create'",
  },
  TOPIC_AUTHORIZATION_FAILED: {
    code: 'PERMISSION_DENIED',
    advice: 'the user lacks a permission on the topic, whose name has the prefix: grant it, see docs/rights.md',
  },
  GROUP_AUTHORIZATION_FAILED: {
    code: 'PERMISSION_DENIED',
    advice: 'the user lacks READ on the group, whose name has the prefix: grant it, see docs/rights.md',
  },
  CLUSTER_AUTHORIZATION_FAILED: {
    code: 'PERMISSION_DENIED',
    advice:
      'the user lacks a cluster-wide permission (CREATE for topics; IDEMPOTENT_WRITE for producers on brokers before 2.8, or set idempotent: false)',
  },
  DELEGATION_TOKEN_AUTHORIZATION_FAILED: { code: 'PERMISSION_DENIED' },
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: { code: 'PERMISSION_DENIED' },
  SECURITY_DISABLED: { code: 'PERMISSION_DENIED' },
  SASL_AUTHENTICATION_FAILED: { code: 'UNAUTHENTICATED', advice: 'check username, password and saslMechanism' },
  UNSUPPORTED_SASL_MECHANISM: { code: 'UNAUTHENTICATED', advice: 'the broker uses another saslMechanism' },
  ILLEGAL_SASL_STATE: {
    code: 'UNAUTHENTICATED',
    advice: "this listener of the broker doesn't support SASL: don't set username and password, or use another port",
  },
  MESSAGE_TOO_LARGE: {
    code: 'TOO_LARGE',
    retryable: false,
    advice: "raise the topic's max.message.bytes, or send less",
  },
  RECORD_LIST_TOO_LARGE: {
    code: 'TOO_LARGE',
    retryable: false,
    advice: "raise the broker's segment.bytes, or send less",
  },
  ILLEGAL_GENERATION: FENCED,
  UNKNOWN_MEMBER_ID: FENCED,
  FENCED_INSTANCE_ID: FENCED,
  TOPIC_ALREADY_EXISTS: { code: 'CONFLICT', retryable: false },
  INCONSISTENT_GROUP_PROTOCOL: {
    code: 'CONFLICT',
    retryable: false,
    advice:
      "the group's members have no assignment strategy in common with Streamswitch, which offers range and roundrobin: set one of these for all other members (partition.assignment.strategy), or use a separate group",
  },
  NON_EMPTY_GROUP: { code: 'CONFLICT', retryable: false },
  INVALID_TOPIC_EXCEPTION: { code: 'INVALID_ARGUMENT', retryable: false },
  INVALID_PARTITIONS: { code: 'INVALID_ARGUMENT', retryable: false },
  INVALID_REPLICATION_FACTOR: {
    code: 'INVALID_ARGUMENT',
    retryable: false,
    advice: 'the cluster has fewer brokers than replicationFactor requires',
  },
  INVALID_REPLICA_ASSIGNMENT: { code: 'INVALID_ARGUMENT', retryable: false },
  INVALID_CONFIG: { code: 'INVALID_ARGUMENT', retryable: false },
  INVALID_SESSION_TIMEOUT: {
    code: 'INVALID_ARGUMENT',
    retryable: false,
    advice:
      "kafka.sessionTimeoutMs is outside of the broker's group.min.session.timeout.ms and group.max.session.timeout.ms",
  },
  INVALID_GROUP_ID: { code: 'INVALID_ARGUMENT', retryable: false },
  INVALID_REQUIRED_ACKS: { code: 'INVALID_ARGUMENT', retryable: false },
  INVALID_TIMESTAMP: {
    code: 'INVALID_ARGUMENT',
    retryable: false,
    advice:
      "the timestamp is too far from the broker's clock for this topic (message.timestamp.before.max.ms, message.timestamp.after.max.ms)",
  },
  INVALID_REQUEST: { code: 'INVALID_ARGUMENT', retryable: false },
  INVALID_RECORD: {
    code: 'INVALID_ARGUMENT',
    retryable: false,
    advice: 'the topic refuses such records; a compacted topic accepts none without a key',
  },
  OFFSET_METADATA_TOO_LARGE: {
    code: 'INVALID_ARGUMENT',
    retryable: false,
    advice: "raise the broker's offset.metadata.max.bytes to its default of 4096",
  },
  POLICY_VIOLATION: { code: 'INVALID_ARGUMENT', retryable: false, advice: "the cluster's policy forbids it" },
  UNSUPPORTED_VERSION: {
    code: 'UNSUPPORTED',
    retryable: false,
    advice: 'the broker is too old or too new for this client',
  },
  UNSUPPORTED_FOR_MESSAGE_FORMAT: { code: 'UNSUPPORTED', retryable: false },
  UNSUPPORTED_COMPRESSION_TYPE: {
    code: 'UNSUPPORTED',
    retryable: false,
    advice: 'the broker is too old for this compression',
  },
  REQUEST_TIMED_OUT: { code: 'TIMEOUT', advice: 'too few replicas confirmed in time' },
  GROUP_MAX_SIZE_REACHED: {
    code: 'RESOURCE_EXHAUSTED',
    advice: "the group has as many members as the broker's group.max.size",
  },
  THROTTLING_QUOTA_EXCEEDED: { code: 'RESOURCE_EXHAUSTED' },
  NOT_ENOUGH_REPLICAS: { code: 'UNAVAILABLE', advice: 'fewer replicas are in sync than min.insync.replicas' },
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: {
    code: 'UNAVAILABLE',
    advice: 'fewer replicas are in sync than min.insync.replicas',
  },
  LEADER_NOT_AVAILABLE: UNAVAILABLE,
  NOT_LEADER_FOR_PARTITION: UNAVAILABLE,
  REPLICA_NOT_AVAILABLE: UNAVAILABLE,
  BROKER_NOT_AVAILABLE: UNAVAILABLE,
  NETWORK_EXCEPTION: UNAVAILABLE,
  GROUP_LOAD_IN_PROGRESS: UNAVAILABLE,
  GROUP_COORDINATOR_NOT_AVAILABLE: UNAVAILABLE,
  NOT_COORDINATOR_FOR_GROUP: UNAVAILABLE,
  REBALANCE_IN_PROGRESS: UNAVAILABLE,
  NOT_CONTROLLER: UNAVAILABLE,
  KAFKA_STORAGE_ERROR: UNAVAILABLE,
  FENCED_LEADER_EPOCH: UNAVAILABLE,
  UNKNOWN_LEADER_EPOCH: UNAVAILABLE,
  OFFSET_NOT_AVAILABLE: UNAVAILABLE,
  LISTENER_NOT_FOUND: UNAVAILABLE,
  CORRUPT_MESSAGE: UNAVAILABLE,
  OUT_OF_ORDER_SEQUENCE_NUMBER: UNAVAILABLE,
  DUPLICATE_SEQUENCE_NUMBER: UNAVAILABLE,
  UNKNOWN_PRODUCER_ID: UNAVAILABLE,
  INVALID_PRODUCER_EPOCH: UNAVAILABLE,
  CONCURRENT_TRANSACTIONS: UNAVAILABLE,
}

/** Error classes of kafkajs, by name, when the protocol's own name is missing. */
const CLIENT: Readonly<Record<string, ErrorMeaning>> = {
  KafkaJSSASLAuthenticationError: {
    code: 'UNAUTHENTICATED',
    retryable: false,
    advice: 'check username, password and saslMechanism',
  },
  KafkaJSConnectionError: UNAVAILABLE,
  KafkaJSConnectionClosedError: UNAVAILABLE,
  KafkaJSNoBrokerAvailableError: UNAVAILABLE,
  KafkaJSBrokerNotFound: UNAVAILABLE,
  KafkaJSGroupCoordinatorNotFound: UNAVAILABLE,
  KafkaJSMetadataNotLoaded: UNAVAILABLE,
  KafkaJSTopicMetadataNotLoaded: UNAVAILABLE,
  KafkaJSRequestTimeoutError: { code: 'TIMEOUT' },
  KafkaJSLockTimeout: { code: 'TIMEOUT', retryable: true },
  KafkaJSTimeout: { code: 'TIMEOUT', retryable: true },
  KafkaJSNotImplemented: { code: 'UNSUPPORTED', retryable: false },
  KafkaJSServerDoesNotSupportApiKey: {
    code: 'UNSUPPORTED',
    retryable: false,
    advice: 'the broker is too old or too new for this client',
  },
}

/** Permissions needed on a topic, by operation. DESCRIBE is part of each. */
const TOPIC_RIGHTS: Readonly<Record<string, string>> = {
  open: 'WRITE (to send) or READ (to receive), and CREATE if it is to be created,',
  send: 'WRITE',
  respond: 'WRITE',
  consume: 'READ',
  request: 'READ',
  lag: 'READ',
  delete: 'DELETE',
}

/** Maximum length of a chain of causes that is inspected. */
const MAX_DEPTH = 8

/**
 * The transport's table of native errors. kafkajs wraps errors in "retries exceeded" and "not retriable" shells whose
 * own `type` and `retriable` carry no information: only the chain of causes does.
 */
export function classifyError(native: unknown, operation: string, topic?: string): StreamError {
  if (isStreamError(native)) return native
  const chain = causes(native)
  const meaning = find(chain, 'type', PROTOCOL) ??
    systemMeaning(chain) ??
    find(chain, 'name', CLIENT) ?? { code: 'UNKNOWN' as const }
  const message = describe(chain)
  const advice = meaning === PROTOCOL['TOPIC_AUTHORIZATION_FAILED'] ? topicAdvice(operation, topic) : meaning.advice
  // Dots and underscores are the same in the names of a broker's metrics.
  const isCollision = meaning === PROTOCOL['INVALID_TOPIC_EXCEPTION'] && message.includes('collides with existing')
  return new StreamError(advice === undefined ? message : `${message}: ${advice}`, {
    code: isCollision ? 'CONFLICT' : meaning.code,
    retryable: meaning.retryable,
    transport: 'kafka',
    operation,
    topic,
    cause: native,
  })
}

function topicAdvice(operation: string, topic: string | undefined): string | undefined {
  const right = TOPIC_RIGHTS[operation]
  if (right === undefined || topic === undefined) return PROTOCOL['TOPIC_AUTHORIZATION_FAILED']?.advice
  return `the user lacks ${right} on topic '${topic}', whose name has the prefix: grant it, see docs/rights.md`
}

/** Returns the protocol's error name (`ILLEGAL_GENERATION`), if the broker has answered. */
export function protocolError(native: unknown): string | undefined {
  return causes(native)
    .map((error) => read(error, 'type'))
    .find((type) => type !== undefined && type in PROTOCOL)
}

/** True when a broker can't be reached any more: the connection is unusable. */
export function isConnectionError(native: unknown): boolean {
  if (protocolError(native) !== undefined) return false
  const { code } = classifyError(native, 'send')
  return code === 'UNAVAILABLE' || code === 'TIMEOUT' || code === 'UNAUTHENTICATED'
}

function causes(native: unknown): unknown[] {
  const chain: unknown[] = []
  for (
    let error = firstOf(native);
    error !== undefined && error !== null && chain.length < MAX_DEPTH && !chain.includes(error);
  ) {
    chain.push(error)
    error =
      typeof error === 'object'
        ? ((error as { originalError?: unknown }).originalError ?? (error as { cause?: unknown }).cause)
        : undefined
  }
  return chain
}

/** Of several topics that were to be created each has its own error. */
function firstOf(error: unknown): unknown {
  const errors = typeof error === 'object' && error !== null ? (error as { errors?: unknown }).errors : undefined
  return Array.isArray(errors) && errors.length > 0 ? (errors[0] as unknown) : error
}

function find(
  chain: readonly unknown[],
  property: string,
  table: Readonly<Record<string, ErrorMeaning>>,
): ErrorMeaning | undefined {
  for (const error of chain) {
    const value = read(error, property)
    if (value !== undefined && Object.hasOwn(table, value)) return table[value]
  }
  return undefined
}

function systemMeaning(chain: readonly unknown[]): ErrorMeaning | undefined {
  for (const error of chain) {
    const meaning = systemErrorMeaning(read(error, 'code') ?? '')
    if (meaning !== undefined) return meaning
  }
  return undefined
}

function read(error: unknown, property: string): string | undefined {
  const value =
    typeof error === 'object' && error !== null ? (error as Readonly<Record<string, unknown>>)[property] : undefined
  return typeof value === 'string' ? value : undefined
}

function describe(chain: readonly unknown[]): string {
  const [outer] = chain
  const message = messageOf(outer)
  const type = chain
    .map((error) => read(error, 'type'))
    .find((name) => name !== undefined && Object.hasOwn(PROTOCOL, name))
  return type === undefined || message.includes(type) ? message : `${message} (${type})`
}
