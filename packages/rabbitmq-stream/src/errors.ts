import {
  type ErrorCode,
  type ErrorMeaning,
  isStreamError,
  messageOf,
  StreamError,
  systemErrorMeaning,
} from '@streamswitch/core/driver'
import { ConnectionGone, PublishersRefused, ResponseCode, ServerError } from './client-patches/server-error.js'

export const TRANSPORT = 'rabbitmq-stream'

/** By response code of the stream protocol. */
const BY_RESPONSE_CODE: Readonly<Record<number, ErrorMeaning>> = {
  [ResponseCode.streamDoesNotExist]: {
    code: 'NOT_FOUND',
    advice: "create it, or open the transport with provision: 'create'",
  },
  [ResponseCode.subscriptionIdExists]: { code: 'UNAVAILABLE' },
  [ResponseCode.subscriptionIdDoesNotExist]: { code: 'UNAVAILABLE' },
  [ResponseCode.streamAlreadyExists]: { code: 'CONFLICT' },
  [ResponseCode.streamNotAvailable]: { code: 'UNAVAILABLE', advice: 'it has no leader at the moment, or was deleted' },
  [ResponseCode.saslMechanismNotSupported]: { code: 'UNAUTHENTICATED', advice: 'the broker must offer PLAIN' },
  [ResponseCode.authenticationFailure]: { code: 'UNAUTHENTICATED', advice: 'check user name and password' },
  [ResponseCode.saslError]: { code: 'UNAUTHENTICATED' },
  [ResponseCode.saslChallenge]: { code: 'UNAUTHENTICATED' },
  [ResponseCode.authenticationFailureLoopback]: {
    code: 'UNAUTHENTICATED',
    advice: "this user may connect only from the broker's own host",
  },
  [ResponseCode.virtualHostAccessFailure]: {
    code: 'PERMISSION_DENIED',
    advice: "the virtual host doesn't exist, or the user may not use it",
  },
  [ResponseCode.unknownFrame]: { code: 'UNSUPPORTED', advice: 'RabbitMQ 3.13 or newer is required' },
  [ResponseCode.frameTooLarge]: { code: 'TOO_LARGE' },
  [ResponseCode.internalError]: { code: 'UNAVAILABLE' },
  [ResponseCode.accessRefused]: {
    code: 'PERMISSION_DENIED',
    advice: 'grant the user the permissions that docs/rights.md lists',
  },
  [ResponseCode.preconditionFailed]: {
    code: 'CONFLICT',
    advice: 'it exists with other settings; delete it, or choose another name',
  },
  [ResponseCode.publisherDoesNotExist]: { code: 'UNAVAILABLE' },
  [ResponseCode.noOffset]: { code: 'NOT_FOUND' },
}

/** By Node.js's error codes, where the adapter can say more than core. */
const BY_SYSTEM_CODE: Readonly<Record<string, ErrorMeaning>> = {
  ENOTFOUND: {
    code: 'UNAVAILABLE',
    advice: "the host name can't be resolved; behind a load balancer or in containers, see the option loadBalancer",
  },
}

/** The adapter's table of native errors. Unknown ones are UNKNOWN, retryable, with the cause kept. */
export function classifyError(native: unknown, operation: string, topic?: string): StreamError {
  if (isStreamError(native)) return native
  const text = messageOf(native)
  const meaning = withRight(native, meaningOf(native))
  const message = meaning.advice === undefined ? text : `${text}; ${meaning.advice}`
  return new StreamError(message, {
    code: meaning.code,
    retryable: meaning.retryable,
    transport: TRANSPORT,
    operation,
    topic,
    cause: native,
  })
}

function meaningOf(native: unknown): ErrorMeaning {
  if (native instanceof ServerError) return BY_RESPONSE_CODE[native.code] ?? { code: 'UNKNOWN' }
  if (native instanceof PublishersRefused) return { code: 'RESOURCE_EXHAUSTED', advice: 'give it more disk space' }
  if (native instanceof ConnectionGone) return { code: 'UNAVAILABLE' }
  const code = typeof native === 'object' && native !== null ? (native as { readonly code?: unknown }).code : undefined
  if (typeof code === 'string') return BY_SYSTEM_CODE[code] ?? systemErrorMeaning(code) ?? { code: 'UNKNOWN' }
  return native instanceof Error && native.name === 'AbortError' ? { code: 'ABORTED' } : { code: 'UNKNOWN' }
}

/** Names the permission that is missing. */
function withRight(native: unknown, meaning: ErrorMeaning): ErrorMeaning {
  if (!(native instanceof ServerError) || native.code !== ResponseCode.accessRefused || native.needed === undefined)
    return meaning
  const { right, stream } = native.needed
  return { ...meaning, advice: `the user lacks ${right} on '${stream}': grant it, see docs/rights.md` }
}

/** True for a broker's response with this code. */
export function hasCode(error: unknown, code: number): boolean {
  return error instanceof ServerError && error.code === code
}

/** Two live producers use the same `publisherName`. */
export function publisherTaken(topic: string, name: string): StreamError {
  return failure(
    'CONFLICT',
    `publisherName '${name}' is in use by another live producer of topic '${topic}': two under one name would lose messages`,
    'open',
    topic,
  )
}

/** A sequence that the broker would drop although the record was never stored. */
export function sequencePassed(topic: string, sequence: bigint): StreamError {
  return failure(
    'CONFLICT',
    `sequence ${sequence} was refused and a higher one is stored: send the message again with a new sequence`,
    'send',
    topic,
  )
}

/** A record that no frame can hold: its payload fits, but not together with key and headers. */
export function recordTooLarge(topic: string): StreamError {
  return failure(
    'TOO_LARGE',
    "payload, key and headers together exceed the broker's maximum frame of 1 MiB: send less, or a reference to where the data is stored",
    'send',
    topic,
  )
}

/** A record that can't be encoded. The rest of its batch is sent without it. */
export function recordNotEncodable(topic: string, cause: unknown): StreamError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return failure(
    'INVALID_ARGUMENT',
    `the record can't be encoded as an AMQP 1.0 message: ${reason}`,
    'send',
    topic,
    cause,
  )
}

/** A commit of a partition that is no longer assigned to this member. */
export function partitionGone(topic: string, partition: number): StreamError {
  return failure('ABORTED', `partition ${partition} of '${topic}' now belongs to another member`, 'ack', topic)
}

/** Another member was activated for the partition while this one still held it. */
export function takenOver(topic: string, partition: number): StreamError {
  return failure(
    'ABORTED',
    `partition ${partition} of '${topic}' was taken over by another member while this one still held it; releasing it`,
    'consume',
    topic,
  )
}

/** A record on the broker has a format that this version can't read. */
export function newerFormat(what: string, topic: string): StreamError {
  return failure(
    'UNSUPPORTED',
    `${what} was written by a newer version of @streamswitch/rabbitmq-stream: upgrade this one first`,
    'open',
    topic,
  )
}

/** The broker received an offset without storing it: it sends no response, so the reason is unknown. */
export function notStored(group: string, topic: string): StreamError {
  return failure(
    'PERMISSION_DENIED',
    `the broker doesn't store the offset of group '${group}' in topic '${topic}': check the user's permissions on the stream`,
    'ack',
    topic,
  )
}

/** A queue or an exchange has the name that the topic, or one of its partitions, would have. */
export function nameTaken(topic: string, name: string, cause?: unknown): StreamError {
  return failure(
    'CONFLICT',
    `topic '${topic}' can't be created: an exchange or a queue named '${name}' (or like one of its partitions, '${name}-0', …) already exists and is not a stream of Streamswitch. A topic of the transport amqp has such an exchange: use another prefix or virtual host for one of the two`,
    'open',
    topic,
    cause,
  )
}

/** The broker creates no more queues, whatever their names. */
export function queueLimitReached(topic: string, cause: unknown): StreamError {
  return failure(
    'RESOURCE_EXHAUSTED',
    `topic '${topic}' can't be created: ${messageOf(cause)} for any name, which happens when the virtual host's or the node's limit of queues is reached: raise it (rabbitmqctl list_vhost_limits; cluster_queue_limit), or delete queues`,
    'open',
    topic,
    cause,
  )
}

/**
 * Creates a {@link StreamError} of this transport. Retryable by its code, except ABORTED and CONFLICT, which are not.
 */
export function failure(
  code: ErrorCode,
  message: string,
  operation: string,
  topic: string | undefined,
  cause?: unknown,
  retryable?: boolean,
): StreamError {
  return new StreamError(message, { code, transport: TRANSPORT, operation, topic, cause, retryable })
}
