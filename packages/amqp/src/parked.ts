import { type ConsumerSink, type TopicSpec, WIRE_HEADERS } from '@streamswitch/core/driver'
import type { Channel, GetMessage, Options } from 'amqplib'
import type { AmqpConnection } from './connection.js'
import type { ControlChannel } from './control-channel.js'
import { classifyError, replyCodeOf } from './errors.js'
import { foreignKey } from './message.js'
import { type GroupNames, topicNames } from './names.js'

/** Messages on their way at once. */
const MOVE_BATCH = 100

export interface ParkedQuery {
  readonly connection: AmqpConnection
  readonly control: ControlChannel
  readonly topic: TopicSpec
  readonly names: GroupNames
  readonly partitions: number
  readonly sink: ConsumerSink
}

/**
 * Takes over what a dead-letter topic kept while it had no group: moves it from the parked queue to this group's. Each message
 * is confirmed in its new place before it leaves the old one. Never rejects.
 */
export async function takeParked(query: ParkedQuery): Promise<void> {
  const { connection, topic, sink } = query
  const queue = topicNames(topic.brokerTopic).parked
  try {
    for (let moved = MOVE_BATCH; moved > 0 && !connection.gone; )
      moved = await connection.withChannel('take parked messages', (channel) => moveSome(query, channel, queue))
  } catch (error) {
    if (replyCodeOf(error) !== 404 && !connection.gone)
      sink.report(classifyError(error, 'take parked messages', topic.topic))
  }
}

async function moveSome(query: ParkedQuery, channel: Channel, queue: string): Promise<number> {
  const taken: GetMessage[] = []
  while (taken.length < MOVE_BATCH) {
    const message = await channel.get(queue)
    if (message === false) break
    taken.push(message)
  }
  const last = taken.at(-1)
  if (last === undefined) return 0
  await Promise.all(
    taken.map((message) =>
      query.control.publish(
        '',
        query.names.queue(partitionFor(message, query.partitions)),
        message.content,
        propertiesFor(message),
      ),
    ),
  )
  channel.ack(last, true)
  return taken.length
}

function partitionFor(message: GetMessage, partitions: number): number {
  const { routingKey } = message.fields
  return /^\d{1,5}$/.test(routingKey) && Number(routingKey) < partitions ? Number(routingKey) : 0
}

/** Everything as it was; a foreign sender's routing key becomes a header, since the new one is the queue's name. */
function propertiesFor(message: GetMessage): Options.Publish {
  const { headers, ...rest } = message.properties
  const key = foreignKey(message)
  const own = headers?.[WIRE_HEADERS.key] === undefined && key !== undefined ? { [WIRE_HEADERS.key]: key } : {}
  const properties: Record<string, unknown> = {
    mandatory: true,
    headers: { ...headers, ...own, 'x-delivery-count': undefined },
  }
  for (const [name, value] of Object.entries(rest))
    if (value !== undefined && name !== 'deliveryMode' && name !== 'clusterId') properties[name] = value
  return properties
}
