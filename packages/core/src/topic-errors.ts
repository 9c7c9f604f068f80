import type { TopicSpec } from './contract/adapter.js'
import { StreamError } from './errors.js'

/** A topic as errors name it: with its native name, if it has one. */
type NamedTopic = Pick<TopicSpec, 'topic' | 'brokerTopic' | 'native'>

/** How errors name a topic: `topic 'orders'`, of a native one `topic 'orders' ('OrderEvents' on the broker)`. */
export function topicLabel({ topic, brokerTopic, native }: NamedTopic): string {
  return native ? `topic '${topic}' ('${brokerTopic}' on the broker)` : `topic '${topic}'`
}

/** NOT_FOUND: a topic is to be there already and isn't. */
export function topicMissing(transport: string, topic: string | NamedTopic): StreamError {
  const spec = typeof topic === 'string' ? { topic, brokerTopic: topic, native: false } : topic
  const advice = spec.native
    ? "create it, correct its native name, or open the transport with provision: 'create'"
    : "make it, or open the transport with provision: 'create'"
  return new StreamError(`${topicLabel(spec)} doesn't exist; ${advice}`, {
    code: 'NOT_FOUND',
    transport,
    operation: 'open',
    topic: spec.topic,
  })
}

/** CONFLICT: a topic exists with another number of partitions. */
export function partitionConflict(transport: string, topic: string, existing: number, wanted: number): StreamError {
  return new StreamError(
    `topic '${topic}' has ${existing} partitions, not ${wanted}: the number is fixed when the topic is made`,
    { code: 'CONFLICT', transport, operation: 'open', topic },
  )
}
