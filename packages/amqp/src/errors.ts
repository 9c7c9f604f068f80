import {
  type ErrorMeaning,
  isStreamError,
  messageOf,
  printable,
  StreamError,
  systemErrorMeaning,
} from '@streamswitch/core/driver'

/**
 * By reply code of the broker (AMQP 0-9-1, section 1.5.2.1, and RabbitMQ's own), unless the message is more specific.
 */
const BY_REPLY_CODE: Readonly<Record<number, ErrorMeaning>> = {
  311: { code: 'TOO_LARGE' },
  312: { code: 'NOT_FOUND' },
  313: { code: 'NOT_FOUND' },
  320: { code: 'UNAVAILABLE' },
  402: { code: 'INVALID_ARGUMENT' },
  403: { code: 'PERMISSION_DENIED', advice: 'grant the user this permission, see docs/rights.md' },
  404: { code: 'NOT_FOUND', advice: "create it, or open the transport with provision: 'create'" },
  405: { code: 'CONFLICT' },
  406: { code: 'CONFLICT' },
  501: { code: 'UNAVAILABLE' },
  502: { code: 'INVALID_ARGUMENT' },
  503: { code: 'UNSUPPORTED' },
  504: { code: 'UNAVAILABLE' },
  505: { code: 'UNAVAILABLE' },
  506: { code: 'RESOURCE_EXHAUSTED' },
  530: { code: 'PERMISSION_DENIED' },
  540: { code: 'UNSUPPORTED' },
  541: { code: 'UNAVAILABLE' },
}

/** amqplib drops the broker's reason when it refuses a virtual host. */
const UNEXPLAINED_REFUSAL = /Expected ConnectionOpenOk; got <ConnectionClose/

/** The broker's 406 for a stream that exists and can't be read at the moment. */
const NO_REPLICA = /does not have a running replica/

/** By message, first match wins: the broker and amqplib often have no more specific field. */
const BY_TEXT: readonly (readonly [RegExp, ErrorMeaning])[] = [
  [
    /ACCESS.REFUSED - Login was refused|Handshake terminated by server: 403/,
    { code: 'UNAUTHENTICATED', advice: 'check user name and password' },
  ],
  [/SASL mechanism .* is not provided/, { code: 'UNAUTHENTICATED', advice: 'the broker must offer PLAIN' }],
  // Only if the broker gave no reason when it was asked once more.
  [
    UNEXPLAINED_REFUSAL,
    {
      code: 'UNAVAILABLE',
      advice: "the virtual host doesn't exist, the user may not use it, or a connection limit is reached",
    },
  ],
  [/vhost .* not found/, { code: 'NOT_FOUND', advice: 'create the virtual host, or correct the path of the URL' }],
  [
    /limit .*\(\d+\) is reached|has reached the maximum allowed/,
    {
      code: 'RESOURCE_EXHAUSTED',
      advice:
        'raise the limit (rabbitmqctl list_vhost_limits, list_user_limits; rabbitmq.conf), or free what counts for it',
    },
  ],
  [
    /access to vhost .* refused for user/,
    { code: 'PERMISSION_DENIED', advice: 'grant the user permissions in the virtual host' },
  ],
  [
    /message size \d+ is larger than configured max size/,
    { code: 'TOO_LARGE', advice: "set maxPayloadBytes to the broker's max_message_size" },
  ],
  [
    /inequivalent arg 'x-single-active-consumer'/,
    { code: 'CONFLICT', advice: 'the group was created with another `ordering`; use that one, or another group' },
  ],
  [
    /inequivalent arg 'x-queue-type'/,
    {
      code: 'CONFLICT',
      advice: 'a queue of this name exists that is not a quorum queue; delete it, or choose another group',
    },
  ],
  [
    /inequivalent arg 'x-(consumer-timeout|overflow|dead-letter-[a-z-]+|delivery-limit)' for queue/,
    {
      code: 'CONFLICT',
      advice:
        'the queue was declared by an older version or another client: drain and delete it (a loop then creates it again), or choose another group',
    },
  ],
  [
    /inequivalent arg '(type|alternate-exchange)' for exchange/,
    {
      code: 'CONFLICT',
      advice:
        "an exchange of this name exists that isn't Streamswitch's on AMQP (another client's, or a super stream of the transport rabbitmq-stream); use another prefix or virtual host",
    },
  ],
  [
    /inequivalent arg/,
    { code: 'CONFLICT', advice: 'it exists with other settings; delete it, or choose another name' },
  ],
  [/unknown exchange type|invalid exchange type/, { code: 'UNSUPPORTED' }],
  [
    /delivery acknowledgement on channel \d+ timed out/,
    { code: 'TIMEOUT', advice: "raise the broker's consumer_timeout, or the policy that sets it" },
  ],
  [/unknown delivery tag/, { code: 'ABORTED', retryable: false }],
  [
    /queue .* in vhost .* (process is stopped by supervisor|unavailable|is down)|home node .* is down/,
    { code: 'UNAVAILABLE' },
  ],
  // A stream whose leader is being elected, or has not been started yet after a restart.
  [NO_REPLICA, { code: 'UNAVAILABLE' }],
  [/vhost .* is down/, { code: 'UNAVAILABLE' }],
  [/message nacked/, { code: 'UNAVAILABLE', advice: 'the broker could not store it' }],
  [
    /No channels left to allocate/,
    { code: 'RESOURCE_EXHAUSTED', advice: "raise the broker's channel_max, or use fewer partitions per loop" },
  ],
  [/Heartbeat timeout/, { code: 'UNAVAILABLE' }],
  // Whole messages: those that name a reply code begin in the same way.
  [
    /^(connect ETIMEDOUT|Unexpected close|Socket closed abruptly.*|[Cc]hannel (closed|closing|ended.*)|Connection (closed|closing)( \(.*\))?)$/,
    { code: 'UNAVAILABLE' },
  ],
  [/exceeds the \d+ byte encoding buffer/, { code: 'TOO_LARGE', advice: 'the headers are too large' }],
]

/** The adapter's table of native errors. Unknown ones are UNKNOWN, retryable, with the cause kept. */
export function classifyError(native: unknown, operation: string, topic?: string): StreamError {
  if (isStreamError(native)) return withTopic(native, topic)
  const text = messageOf(native)
  const meaning = meaningOf(native, text)
  const message = meaning.advice === undefined ? shorten(text) : `${shorten(text)}; ${meaning.advice}`
  return new StreamError(message, {
    code: meaning.code,
    retryable: meaning.retryable,
    transport: 'amqp',
    operation,
    topic,
    cause: native,
  })
}

/** Adds the topic to an error that was thrown where it wasn't known. */
function withTopic(error: StreamError, topic: string | undefined): StreamError {
  if (error.topic !== undefined || topic === undefined) return error
  const { message, code, retryable, transport, operation, retryAfterMs, cause } = error
  return new StreamError(message, { code, retryable, transport, operation, retryAfterMs, cause, topic })
}

function meaningOf(native: unknown, text: string): ErrorMeaning {
  const byText = BY_TEXT.find(([pattern]) => pattern.test(text))
  if (byText !== undefined) return byText[1]
  const code = typeof native === 'object' && native !== null ? (native as { readonly code?: unknown }).code : undefined
  if (typeof code === 'number') return BY_REPLY_CODE[code] ?? { code: 'UNKNOWN' }
  if (code === 'ERR_OUT_OF_RANGE') return { code: 'INVALID_ARGUMENT' }
  if (typeof code === 'string') return systemErrorMeaning(code) ?? { code: 'UNKNOWN' }
  return native instanceof Error && native.name === 'AbortError' ? { code: 'ABORTED' } : { code: 'UNKNOWN' }
}

/** Removes amqplib's own words around the broker's. */
function shorten(text: string): string {
  return /with message "(.*)"$/s.exec(text)?.[1] ?? text
}

/** The broker has refused to open the virtual host, and amqplib doesn't report why. */
export function isUnexplainedRefusal(error: unknown): boolean {
  return error instanceof Error && UNEXPLAINED_REFUSAL.test(error.message)
}

/** Why a channel has ended; `undefined`: its owner closed it. */
export interface ChannelEnd {
  readonly reason: unknown
}

/**
 * amqplib fails messages published on a channel that the broker closes without giving the reason: then the channel's
 * reason is used.
 */
export function explained(error: unknown, end: ChannelEnd | undefined): unknown {
  const unexplained = error instanceof Error && /^channel closed$/i.test(error.message)
  return unexplained && end?.reason !== undefined ? end.reason : error
}

/** Returns the reply code with which the broker closed a channel or connection. */
export function replyCodeOf(error: unknown): number | undefined {
  const code = typeof error === 'object' && error !== null ? (error as { readonly code?: unknown }).code : undefined
  return typeof code === 'number' ? code : undefined
}

/** Returns the argument that differs in a refused declaration: its name and the existing value (`undefined`: none). */
export function inequivalentArgument(
  error: unknown,
): { readonly name: string; readonly current: string | undefined } | undefined {
  const text = error instanceof Error ? error.message : ''
  const match = /inequivalent arg '([^']+)' .* but current is (?:(none)|(?:the value )?'([^']*)')/.exec(text)
  return match === null ? undefined : { name: match[1] ?? '', current: match[3] }
}

/** Something on the broker was written by a newer version of this package. */
export function newerFormat(what: string, topic: string): StreamError {
  return new StreamError(`${what} was created by a newer version of Streamswitch: update this one`, {
    code: 'CONFLICT',
    transport: 'amqp',
    operation: 'open',
    topic,
  })
}

/** Headers, key and properties of a message must fit into one frame. */
export function headersTooLarge(topic: string, bytes: number, frameBytes: number, room: number): StreamError {
  return new StreamError(
    `the headers, key and id of the message take ${bytes} bytes, and the broker's frame_max of ${frameBytes} leaves ${room} for them: shorten them, or raise frame_max on the broker`,
    { code: 'TOO_LARGE', transport: 'amqp', operation: 'send', topic },
  )
}

/**
 * Another exchange has the topic's name. @param isSuperStream - there is a queue named like the first partition of a
 * super stream.
 */
export function exchangeTaken(error: unknown, spec: { readonly topic: string }, isSuperStream: boolean): StreamError {
  const reason = error === undefined ? '' : ` (${shorten(error instanceof Error ? error.message : String(error))})`
  const what = isSuperStream
    ? 'is used by a super stream, as the transport rabbitmq-stream creates for a topic of several partitions'
    : "is used by an exchange that is not a Streamswitch topic on AMQP (another client's, or a topic of the transport rabbitmq-stream)"
  return new StreamError(
    `topic '${spec.topic}' can't be used on amqp: its name ${what}: use another prefix or virtual host for one of the two, or give the topic the exchange's name as its native name (topics) to use it unchanged${reason}`,
    { code: 'CONFLICT', transport: 'amqp', operation: 'open', topic: spec.topic, cause: error },
  )
}

/** Describes why a stream can't be declared, and what it is for. */
export function streamsUnavailable(error: unknown, name: string): unknown {
  const code = replyCodeOf(error)
  if (inequivalentArgument(error) !== undefined || meaningOf(error, String(error)).code === 'RESOURCE_EXHAUSTED')
    return error
  if (code !== 406 && code !== 503 && code !== 540) return error
  return new StreamError(
    `stream '${name}' can't be declared: ${shorten(error instanceof Error ? error.message : String(error))}; partition counts, the list of topics and dropped messages are kept in streams, which RabbitMQ supports from version 3.9 on, unless they are disabled`,
    { code: 'UNSUPPORTED', transport: 'amqp', operation: 'open', cause: error },
  )
}

/** A queue of the stream's name that isn't a stream can't be read from an offset. */
export function notAStream(error: unknown, spec: { readonly topic: string }, name: string): unknown {
  const isRefused = replyCodeOf(error) === 406 || replyCodeOf(error) === 540
  if (!isRefused || NO_REPLICA.test(messageOf(error))) return error
  return new StreamError(
    `queue '${name}' can't be read as a stream: ${shorten(error instanceof Error ? error.message : String(error))}; delete it if an older version created it, then open the topic with provision: 'create' and its number of partitions, or use another prefix or virtual host`,
    { code: 'CONFLICT', transport: 'amqp', operation: 'open', topic: spec.topic, cause: error },
  )
}

/** An existing exchange routes by keys, which have a maximum length. */
export function routingKeyTooLong(topic: string): StreamError {
  return new StreamError(
    "the message's key has more than 255 bytes, the limit of routing keys: set a routingKey of the producer (amqp: { routingKey })",
    { code: 'INVALID_ARGUMENT', transport: 'amqp', operation: 'send', topic },
  )
}

/** The message has no receiver: the broker returned it. */
export function unroutable(topic: string): StreamError {
  return new StreamError(
    `topic '${topic}' has no group, so that the message would be dropped: start a consumer of it once; its queues then keep what is sent`,
    {
      code: 'NOT_FOUND',
      transport: 'amqp',
      operation: 'send',
      topic,
    },
  )
}

/** The broker returned a reply: its address doesn't exist. */
export function replyQueueGone(queue: string): StreamError {
  return new StreamError(
    `the reply queue '${printable(queue)}' doesn't exist (any more): its caller has gone, or has named another one in reply-to`,
    { code: 'NOT_FOUND', transport: 'amqp', operation: 'respond' },
  )
}

/** Nothing can be requested while there is no connection. */
export function notConnected(topic: string | undefined): StreamError {
  return new StreamError('the loop is not connected to the broker', {
    code: 'UNAVAILABLE',
    transport: 'amqp',
    operation: 'lag',
    topic,
  })
}

/** A group that existed has no queues any more. */
export function queuesDeleted(topic: string, group: string): StreamError {
  return new StreamError(
    `the queues of group '${group}' in topic '${topic}' were deleted with their messages (by a policy that sets expires, or by hand) and have been created again: exclude these queues from the policy`,
    { code: 'NOT_FOUND', transport: 'amqp', operation: 'open', topic },
  )
}

/** A call to the broker got no answer. */
export function unanswered(what: string, timeoutMs?: number): StreamError {
  const within = timeoutMs === undefined ? 'in time' : `within ${timeoutMs} ms`
  return new StreamError(`the broker didn't answer ${within}: ${what}`, {
    code: 'UNAVAILABLE',
    transport: 'amqp',
    operation: what,
  })
}
