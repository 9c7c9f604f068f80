import { expect } from 'vitest'
import { KAFKA_URL } from './brokers.js'
import { makeTopic, nothingPending, partitionsByKey, stableWith } from './kafka.js'
import { Orders, Recipe, untilShared } from './recipe.js'

/** The snippets of a page that are the old service, in the form that shares its group. */
export interface OldService {
  readonly consumer: string
  readonly producer: string
}

/** Where a test does more than the common steps. */
export interface Additions {
  /** What the old client calls its group, where that isn't the page's name. */
  groupOf?(group: string): string
  /** Before the group is shared. */
  before?(recipe: Recipe, orders: Orders, sendOld: Send): Promise<void>
  /** Called with the old member alone, and with the new one alone. */
  alone?(recipe: Recipe, orders: Orders): Promise<void>
}

type Send = (ids: readonly string[]) => Promise<unknown>

/**
 * Follows the steps of a page on one topic and in one group: old, both, new, both, old. Every order is charged once, by one of the members, and every
 * key stays in its partition, whoever sends. Members come and go while the group is idle: what old clients commit in the middle of
 * a batch is theirs to say.
 */
export async function replacesOnKafka(
  page: string,
  old: OldService,
  { groupOf, before, alone }: Additions = {},
): Promise<void> {
  const recipe = new Recipe(page, { STREAMSWITCH_URL: KAFKA_URL })
  const topic = recipe.nameOf('orders')
  const group = groupOf?.(recipe.nameOf('billing')) ?? recipe.nameOf('billing')
  const orders = new Orders()
  const produce = (file: string) => (ids: readonly string[]) => recipe.run(file, ...ids)
  const [sendOld, send] = [produce(old.producer), produce('producer.ts')]
  await makeTopic(topic)
  await before?.(recipe, orders, sendOld)

  const first = orders.chargedBy(await recipe.start(old.consumer))
  await sendOld(orders.next(20))
  await orders.allOnce()
  await alone?.(recipe, orders)

  const replacement = orders.chargedBy(await recipe.start('consumer.ts'))
  await stableWith(group, 2)
  await untilShared(orders, send, [first, replacement])
  await nothingPending(topic, group)
  await first.stop()
  await sendOld(orders.next(20))
  await orders.allOnce()
  await alone?.(recipe, orders)

  const restored = orders.chargedBy(await recipe.start(old.consumer))
  await stableWith(group, 2)
  await nothingPending(topic, group)
  await replacement.stop()
  await send(orders.next(20))
  await orders.allOnce()
  await restored.stop()
  for (const [key, partitions] of await partitionsByKey(topic))
    if (key.startsWith('customer')) expect(partitions.size, `partitions of ${key}`).toBe(1)
}
