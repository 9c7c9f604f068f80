import { StreamError, toStreamError } from '@streamswitch/core/driver'

/** The memory transport raises {@link StreamError}s itself; anything else is a defect of its own. */
export function classifyError(native: unknown, operation: string, topic?: string): StreamError {
  return toStreamError(native, { code: 'UNKNOWN', retryable: false, transport: 'memory', operation, topic })
}

/** A topic is full of messages that some group has not acked. */
export function topicFull(topic: string, maxBytes: number): StreamError {
  return new StreamError(`topic '${topic}' holds ${maxBytes} bytes (maxBytes) that some group has not acked`, {
    code: 'RESOURCE_EXHAUSTED',
    transport: 'memory',
    operation: 'send',
    topic,
  })
}

/** Two live producers want one `publisherName`. */
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

/** A position's offset is no number of a message. */
export function notAnOffset(text: string): StreamError {
  return new StreamError(`'${text.slice(0, 60)}' is no offset of a memory topic: a whole number from 0 is`, {
    code: 'INVALID_ARGUMENT',
    transport: 'memory',
    operation: 'seek',
  })
}

/** Nobody reads replies at that address any more. */
export function inboxGone(): StreamError {
  return new StreamError('nobody waits for the reply any more: its caller is gone', {
    code: 'NOT_FOUND',
    retryable: false,
    transport: 'memory',
    operation: 'respond',
  })
}
