import type { TopicSpec } from './contract/adapter.js'
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

type SpecOfConflict = Pick<TopicSpec, 'topic' | 'partitions' | 'openedWithoutPartitions'>

/** CONFLICT: a topic exists with another number of partitions than its spec asks for. Says who may have created it so, and what to do. */
export function partitionConflict(transport: string, spec: SpecOfConflict, existing: number): StreamError {
  const { topic, partitions: wanted, openedWithoutPartitions: opener } = spec
  const has = `${existing} ${existing === 1 ? 'partition' : 'partitions'}`
  const who =
    opener === undefined
      ? "It has the default number: a loop or producer without 'partitions' has probably created it, in this process or another."
      : `${opener} was opened without 'partitions', which creates a topic with 1.`
  return new StreamError(
    `topic '${topic}' has ${has}, not ${wanted}: the number is fixed when the topic is created. ${existing === 1 ? `${who} ` : ''}Set the same 'partitions' wherever the topic is used, or leave it out here; to change the number, delete the topic with all that it holds (transport.admin.deleteTopic) and create it again`,
    { code: 'CONFLICT', transport, operation: 'open', topic },
  )
}
