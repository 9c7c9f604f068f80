import type { TopicSpec } from './contract/adapter.js'
import { StreamError } from './errors.js'

/** A topic as errors show it: with its native name, if it has one. */
type NamedTopic = Pick<TopicSpec, 'topic' | 'brokerTopic' | 'native'>

/**
 * Returns the label of a topic in errors: `topic 'orders'`, of a native one `topic 'orders' ('OrderEvents' on the
 * broker)`.
 */
export function topicLabel({ topic, brokerTopic, native }: NamedTopic): string {
  return native ? `topic '${topic}' ('${brokerTopic}' on the broker)` : `topic '${topic}'`
}

/** NOT_FOUND: a topic must exist and doesn't. */
export function topicMissing(transport: string, topic: string | NamedTopic): StreamError {
  const spec = typeof topic === 'string' ? { topic, brokerTopic: topic, native: false } : topic
  const advice = spec.native
    ? "create it, correct its native name, or open the transport with provision: 'create'"
    : "create it, or open the transport with provision: 'create'"
  return new StreamError(`${topicLabel(spec)} doesn't exist; ${advice}`, {
    code: 'NOT_FOUND',
    transport,
    operation: 'open',
    topic: spec.topic,
  })
}

type SpecOfConflict = NamedTopic & Pick<TopicSpec, 'partitions' | 'openedWithoutPartitions'>

/**
 * CONFLICT: a topic exists with another number of partitions than its spec requests. Names what may have created it,
 * and what to do.
 */
export function partitionConflict(transport: string, spec: SpecOfConflict, existing: number): StreamError {
  const { topic, partitions: wanted, openedWithoutPartitions: opener } = spec
  const has = `${existing} ${existing === 1 ? 'partition' : 'partitions'}`
  const who =
    opener === undefined
      ? "It has the default number: a loop or producer without 'partitions' has probably created it, in this process or another."
      : `${opener} was opened without 'partitions', which creates a topic with 1.`
  if (spec.native)
    return new StreamError(
      `${topicLabel(spec)} has ${has}, not ${wanted}: an existing topic keeps its number; don't set 'partitions', or set ${existing}`,
      { code: 'CONFLICT', transport, operation: 'open', topic },
    )
  return new StreamError(
    `${topicLabel(spec)} has ${has}, not ${wanted}: the number is fixed when the topic is created. ${existing === 1 ? `${who} ` : ''}Set the same 'partitions' wherever the topic is used, or leave it out here; to change the number, delete the topic with all that it holds (transport.admin.deleteTopic) and create it again`,
    { code: 'CONFLICT', transport, operation: 'open', topic },
  )
}
