import { escapeName, StreamError, type TopicSpec } from '@streamswitch/core/driver'

/**
 * Names of everything created on the broker. The separator is a colon, which no topic and no group may contain, so that
 * they never collide.
 */
export interface TopicNames {
  /** The topic itself: a direct exchange; its routing keys are partition numbers. */
  readonly exchange: string
  /** Takes what has any other routing key, from foreign senders: a fanout exchange, the first one's alternate. */
  readonly others: string
  /** The stream that holds the partition count. */
  readonly partitions: string
}

/** Names that belong to one group of a topic. */
export interface GroupNames {
  queue(partition: number): string
  /** Where members tell each other who they are: a fanout exchange. */
  readonly members: string
  memberQueue(instance: string): string
  /** Holds the counted attempts of one partition. */
  attempts(partition: number): string
  /** The stream that says up to where dropped messages have been reported. */
  readonly droppedOffset: string
}

/** Names that belong to everything below one prefix. */
export interface SharedNames {
  /** The stream that lists topics and groups, for `Admin.topics` and `Admin.deleteTopic`. */
  readonly registry: string
  /** The stream that takes what the broker drops from group queues, and the fanout exchange that leads there. */
  readonly dropped: string
  /** The dead-letter exchange of groups whose own retention lets messages expire: those don't reach the stream. */
  readonly droppedUnexpired: string
  /** Takes expired messages and forgets them: an at-least-once dead letter that nothing takes stays in its queue forever. */
  readonly expired: string
}

const MAX_NAME_BYTES = 255

/** Throws INVALID_ARGUMENT for a topic of ours that the broker would keep for itself (`amq.`). */
export function requireOwnName({ brokerTopic, native }: TopicSpec): void {
  if (!native && brokerTopic.startsWith('amq.')) {
    throw new StreamError(`topic '${brokerTopic}': the broker reserves names that begin with 'amq.'`, {
      code: 'INVALID_ARGUMENT',
      transport: 'amqp',
      operation: 'configure',
    })
  }
}

export function topicNames(brokerTopic: string): TopicNames {
  return {
    exchange: brokerTopic,
    others: `${brokerTopic}:others`,
    partitions: `${brokerTopic}:partitions`,
  }
}

/**
 * Throws INVALID_ARGUMENT where prefix, topic and group are too long together.
 *
 * @param group - as {@link groupPart} says.
 */
export function groupNames({ derivedName }: Pick<TopicSpec, 'derivedName'>, group: string): GroupNames {
  const base = `${derivedName}:${group}`
  const names: GroupNames = {
    queue: (partition) => `${base}:${partition}`,
    members: `${base}:members`,
    memberQueue: (instance) => `${base}:members:${instance}`,
    attempts: (partition) => `${base}:${partition}:attempts`,
    droppedOffset: `${base}:dropped`,
  }
  const longest = names.attempts(99_999).length
  if (longest > MAX_NAME_BYTES) {
    throw new StreamError(
      `prefix, topic '${derivedName}' and group '${group}' are too long together: ${longest} characters, the broker's limit is ${MAX_NAME_BYTES}`,
      {
        code: 'INVALID_ARGUMENT',
        transport: 'amqp',
        operation: 'configure',
      },
    )
  }
  return names
}

/** What names of a group's things have in them: the group without prefix, which the topic's name carries; of a native topic, or a native group, its derived name. */
export function groupPart({ prefixed }: TopicSpec, brokerGroup: string, prefix: string): string {
  return prefixed && brokerGroup.startsWith(prefix) ? brokerGroup.slice(prefix.length) : escapeName(brokerGroup)
}

export function sharedNames(prefix: string): SharedNames {
  return {
    registry: `${prefix}streamswitch:topic-registry`,
    dropped: `${prefix}streamswitch:dropped`,
    droppedUnexpired: `${prefix}streamswitch:dropped:unexpired`,
    expired: `${prefix}streamswitch:dropped:expired`,
  }
}
