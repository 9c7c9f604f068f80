import { type DedupeMark, escapeName, type TopicSpec } from '@streamswitch/core/driver'

/**
 * Format version of everything that this adapter stores on the server besides the messages. A newer one is refused.
 */
export const FORMAT_VERSION = 1

/**
 * One partition of a topic with the names of its keys. All of them hash to the slot of the stream, so that a script may
 * use them together on a cluster as well.
 */
export interface Partition {
  readonly topic: string
  /** `TopicSpec.origin`. */
  readonly origin: string
  readonly number: number
  readonly stream: string
  /** The group's lease on the partition: owner, expiry and progress. */
  readonly lease: string
  /** Handler starts of pending entries, by entry id. */
  readonly attempts: string
}

/** The stream that holds a partition. A topic with one partition is a stream with the topic's own name. */
export function streamKey(brokerTopic: string, partition: number, partitions: number): string {
  return partitions === 1 ? brokerTopic : `${brokerTopic}:${partition}`
}

/**
 * Prefix of all keys that belong to a stream or topic, so that they hash to its slot. The slot is determined by the
 * text within the first braces of a key, if there is one, else by the whole key.
 */
export function keyBase(name: string): string {
  if (!name.includes('}')) return `ss:{${name}}`
  const tag = hashTag(name)
  return tag === undefined ? `ss:{}${escapeName(name)}` : `ss:{${tag}}${escapeName(name)}`
}

/** Returns why a key can't be a native topic; `undefined` when it can. */
export function streamNameProblem(name: string): string | undefined {
  if (!name.includes('}') || hashTag(name) !== undefined) return undefined
  return "must have no '}' outside of a hash tag ('{tag}'), since its other keys could not be in its slot"
}

/** See https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags. */
function hashTag(name: string): string | undefined {
  return /^[^{]*\{([^}]+)\}/.exec(name)?.[1]
}

/** Format version, partition count and retention of a topic. */
export function metaKey(brokerTopic: string): string {
  return `${keyBase(brokerTopic)}:meta`
}

/** Live members of a group, by the time of their last heartbeat. */
export function membersKey(brokerTopic: string, brokerGroup: string): string {
  return `${keyBase(brokerTopic)}:members:${brokerGroup}`
}

/** A stream of one entry, which is new whenever a member has joined, left or released a partition. */
export function changesKey(brokerTopic: string, brokerGroup: string): string {
  return `${keyBase(brokerTopic)}:changes:${brokerGroup}`
}

/** The last record that a producer has stored in a stream. */
export function sessionKey(stream: string, session: string): string {
  return `${keyBase(stream)}:session:${session}`
}

/** The last sequence that is stored under a `publisherName`. */
export function publisherKey(stream: string, publisherName: string): string {
  return `${keyBase(stream)}:publisher:${publisherName}`
}

/** Whether a message is claimed or done in a group; in the slot of its stream if that is known, else of its topic. */
export function markKey(mark: DedupeMark & { readonly place: string | undefined }): string {
  return `${keyBase(mark.place ?? mark.topic)}:handled:${escapeName(mark.group)}:${mark.id}`
}

/** What groups store with a stream. */
function leaseKey(stream: string, brokerGroup: string): string {
  return `${keyBase(stream)}:lease:${brokerGroup}`
}

/** The partitions of a topic as one group sees them. */
export function partitionsOf(spec: TopicSpec, partitions: number, brokerGroup: string): Partition[] {
  return Array.from({ length: partitions }, (_, number) => {
    const stream = streamKey(spec.brokerTopic, number, partitions)
    return {
      topic: spec.topic,
      origin: spec.origin,
      number,
      stream,
      lease: leaseKey(stream, brokerGroup),
      attempts: `${keyBase(stream)}:attempts:${brokerGroup}`,
    }
  })
}
