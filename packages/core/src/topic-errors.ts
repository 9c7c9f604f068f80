import { StreamError } from './errors.js'

/** NOT_FOUND: a topic is to be there already and isn't. */
export function topicMissing(transport: string, topic: string): StreamError {
  return new StreamError(`topic '${topic}' doesn't exist; make it, or open the transport with provision: 'create'`, {
    code: 'NOT_FOUND',
    transport,
    operation: 'open',
    topic,
  })
}

/** CONFLICT: a topic exists with another number of partitions. */
export function partitionConflict(transport: string, topic: string, existing: number, wanted: number): StreamError {
  return new StreamError(
    `topic '${topic}' has ${existing} partitions, not ${wanted}: the number is fixed when the topic is made`,
    { code: 'CONFLICT', transport, operation: 'open', topic },
  )
}
