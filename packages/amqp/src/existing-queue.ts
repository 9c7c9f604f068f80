import { partitionConflict, StreamError, type TopicSpec, topicLabel } from '@streamswitch/core/driver'
import type { AmqpConnection } from './connection.js'
import { replyCodeOf } from './errors.js'

/** What the broker reports about a queue. */
export interface QueueState {
  readonly messageCount: number
  readonly consumerCount: number
}

/** Checks a queue of others, which is one partition. Rejects with NOT_FOUND, or with CONFLICT for more partitions. */
export async function checkExistingQueue(connection: AmqpConnection, spec: TopicSpec): Promise<QueueState> {
  if (spec.partitions !== undefined && spec.partitions !== 1) throw partitionConflict('amqp', spec, 1)
  try {
    return await connection.withChannel(`check queue ${spec.brokerTopic}`, (channel) =>
      channel.checkQueue(spec.brokerTopic),
    )
  } catch (error) {
    if (replyCodeOf(error) !== 404) throw error
    throw new StreamError(
      `${topicLabel(spec)} doesn't exist: there is no queue of this name; declare it, or correct the native name`,
      { code: 'NOT_FOUND', transport: 'amqp', operation: 'open', topic: spec.topic },
    )
  }
}
