import type { Headers } from '@streamswitch/core/driver'
import type { MemoryBroker } from './connection.js'
import type { Topic } from './topic.js'

/** A message kept in a topic. */
export interface TestMessage<T = unknown> {
  readonly id: string
  readonly key: string | undefined
  /** `undefined` for a tombstone. */
  readonly value: T
  readonly headers: Headers
  readonly timestamp: number
  readonly partition: number
  readonly offset: string
}

/** Returns everything that a topic keeps, partition by partition; empty when there is no such topic. */
export function messagesOf<T>(topic: Topic | undefined, decode: (bytes: Buffer) => unknown): TestMessage<T>[] {
  if (topic === undefined) return []
  return topic.logs.flatMap((log, partition) => {
    const assignment = { topic: topic.name, partition, epoch: 0 }
    const found: TestMessage<T>[] = []
    for (let offset = log.start; offset < log.end; offset += 1) {
      const delivery = log.deliver(offset, assignment)
      if (delivery === undefined) continue
      const { id, key, headers, timestamp, bytes } = delivery
      const value = (bytes === undefined ? undefined : decode(bytes)) as T
      found.push({ id, key, value, headers, timestamp, partition, offset: String(offset) })
    }
    return found
  })
}

/** Returns what groups have not finished: one line each, such as `orders/billing: 3 messages`. */
export function unfinished(broker: MemoryBroker): string[] {
  const lines: string[] = []
  for (const [name, topic] of broker.topics) {
    for (const [group, { partitions, members }] of topic.groups) {
      const lag = partitions.reduce((sum, partition) => sum + partition.lag, 0)
      if (lag > 0) lines.push(`${name}/${group}: ${lag} messages${members === 0 ? ', and no loop runs' : ''}`)
    }
  }
  return lines
}
