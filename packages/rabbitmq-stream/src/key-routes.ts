import type { PublishBatch } from '@streamswitch/core/driver'
import type { StreamClient } from './client-patches/stream-client.js'
import { failure } from './errors.js'
import type { Topology } from './topology.js'

/** Partitions by the key that they are bound to. */
export type KeyRoutes = ReadonlyMap<string, number>

/** Asks the broker where each key leads. Rejects with CONFLICT where one has no partition, or several. */
export async function findKeyRoutes(
  client: StreamClient,
  { streams, superStream }: Topology,
  keys: readonly string[],
  topic: string,
): Promise<KeyRoutes> {
  if (superStream === undefined)
    throw failure('CONFLICT', `topic '${topic}' is a plain stream: it can't be routed by bindingKeys`, 'open', topic)
  const routes = new Map<string, number>()
  for (const key of keys) {
    const bound = await client.routeQuery({ routingKey: key, superStream })
    const partition = streams.indexOf(bound[0] ?? '')
    if (bound.length !== 1 || partition < 0)
      throw failure(
        'CONFLICT',
        `topic '${topic}' has ${bound.length} partitions bound to the key '${key}', not one: see bindingKeys`,
        'open',
        topic,
      )
    routes.set(key, partition)
  }
  return routes
}

/** Fails records whose key no partition is bound to: in another partition no consumer would look for them. */
export function failUnrouted(batch: PublishBatch, topic: string): void {
  for (const [index, { key }] of batch.records.entries())
    batch.fail(
      index,
      failure('NOT_FOUND', `no partition of '${topic}' is bound to the key '${key}': see bindingKeys`, 'send', topic),
    )
}
