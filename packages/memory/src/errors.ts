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

/** A topic exists with another number of partitions. */
export function partitionConflict(topic: string, existing: number, wanted: number): StreamError {
  return new StreamError(
    `topic '${topic}' has ${existing} partitions, not ${wanted}: the number is fixed when the topic is made`,
    {
      code: 'CONFLICT',
      transport: 'memory',
      operation: 'open',
      topic,
    },
  )
}

/** A topic is to be there already and isn't. */
export function topicMissing(topic: string): StreamError {
  return new StreamError(`topic '${topic}' doesn't exist; make it, or open the transport with provision: 'create'`, {
    code: 'NOT_FOUND',
    transport: 'memory',
    operation: 'open',
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

/** Nobody reads replies at that address any more. */
export function inboxGone(): StreamError {
  return new StreamError('nobody waits for the reply any more: its caller is gone', {
    code: 'NOT_FOUND',
    retryable: false,
    transport: 'memory',
    operation: 'respond',
  })
}
