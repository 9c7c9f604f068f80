import { StreamError, toStreamError } from '@streamswitch/core/driver'

/** The memory transport raises {@link StreamError}s itself; any other error is a defect in it. */
export function classifyError(native: unknown, operation: string, topic?: string): StreamError {
  return toStreamError(native, { code: 'UNKNOWN', retryable: false, transport: 'memory', operation, topic })
}

/** A topic is full of messages that some group has not acked. */
export function topicFull(topic: string, maxBytes: number): StreamError {
  return new StreamError(
    `topic '${topic}' is full: it holds ${maxBytes} bytes (maxBytes) that some group has not acked`,
    {
      code: 'RESOURCE_EXHAUSTED',
      transport: 'memory',
      operation: 'send',
      topic,
    },
  )
}

/** Two live producers use the same `publisherName`. */
export function publisherTaken(topic: string, name: string): StreamError {
  return new StreamError(`publisherName '${name}' is in use by another live producer of topic '${topic}'`, {
    code: 'CONFLICT',
    transport: 'memory',
    operation: 'open',
    topic,
  })
}

/** The members of a group must agree on ordering. */
export function orderingConflict(topic: string, group: string, ordering: string): StreamError {
  return new StreamError(
    `group '${group}' of topic '${topic}' has members with ordering: '${ordering}'; all must have the same`,
    {
      code: 'CONFLICT',
      transport: 'memory',
      operation: 'open',
      topic,
    },
  )
}

/** An offset is not a message number. */
export function notAnOffset(text: string): StreamError {
  return new StreamError(`invalid offset '${text.slice(0, 60)}': expected a non-negative integer`, {
    code: 'INVALID_ARGUMENT',
    transport: 'memory',
    operation: 'seek',
  })
}

/** The reply inbox at that address is closed. */
export function inboxGone(): StreamError {
  return new StreamError('no request is pending for the reply: its caller is gone', {
    code: 'NOT_FOUND',
    retryable: false,
    transport: 'memory',
    operation: 'respond',
  })
}
