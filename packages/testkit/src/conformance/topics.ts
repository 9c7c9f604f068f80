import type { Transport } from '@streamswitch/core'
import { expect } from 'vitest'
import { rejection } from './expect-error.js'
import { expectExactlyOnceInOrder } from './expect-history.js'
import { load } from './load.js'
import type { Suite } from './suite.js'

const TOPICS = 12
const MESSAGES = 25

/** Item 3: topics don't hear each other. */
export function topics(suite: Suite): void {
  suite.describe('many topics', () => {
    suite.test(`${TOPICS} topics with one group name, without cross-talk`, { topics: TOPICS }, async (bench) => {
      const receiving = bench.transport()
      await Promise.all(bench.topics.map((topic) => bench.member({ topic, transport: receiving })))
      for (const topic of bench.topics) bench.ledger.series(bench.producer({ topic }), ['k', undefined], load(MESSAGES))
      await bench.handledCount(TOPICS * 2 * load(MESSAGES))
      for (const topic of bench.topics) {
        await expectExactlyOnceInOrder(bench, { topic })
        expect(
          new Set(
            bench
              .handled()
              .filter((one) => bench.ledger.ids(topic).includes(one.id))
              .map((one) => one.topic),
          ),
        ).toEqual(new Set([topic]))
      }
    })

    suite.test('one loop over a list of topics gets all of them', { topics: 3, partitions: 2 }, async (bench) => {
      const member = await bench.member({ topic: bench.topics })
      for (const topic of bench.topics) bench.ledger.series(bench.producer({ topic }), ['a', 'b'], load(MESSAGES))
      await bench.handledCount(3 * 2 * load(MESSAGES))
      for (const topic of bench.topics) await expectExactlyOnceInOrder(bench, { topic })
      expect(new Set(member.handlings.map((one) => one.topic))).toEqual(new Set(bench.topics))
    })

    if (suite.has('assignments') && suite.partitions > 1) conflicts(suite)

    suite.test('a prefix separates what has the same name, and no message shows it', {}, async (bench) => {
      const prefixes = [`${bench.prefix}ours.`, `${bench.prefix}theirs.`]
      const [ours, theirs] = prefixes.map((prefix) => bench.transport({ options: { prefix } })) as [
        Transport,
        Transport,
      ]
      const member = await bench.member({ transport: ours })
      const other = await bench.member({ transport: theirs })
      void bench.ledger.send(bench.producer({ transport: ours }), 1, { key: 'k', id: 'to ours' })
      void bench.ledger.send(bench.producer({ transport: theirs }), 2, { key: 'k', id: 'to theirs' })
      await bench.until(() => member.succeeded.length > 0 && other.succeeded.length > 0, 'a message on each side')
      await bench.ledger.allConfirmed()
      expect(member.handlings.map(({ id, topic }) => ({ id, topic }))).toEqual([{ id: 'to ours', topic: bench.topic }])
      expect(other.handlings.map(({ id, topic }) => ({ id, topic }))).toEqual([{ id: 'to theirs', topic: bench.topic }])
      for (const prefix of prefixes) {
        const harness = bench.administration({ options: { prefix } })
        await harness.admin.deleteTopic(harness.topicSpec(bench.topic))
      }
    })
  })
}

function conflicts(suite: Suite): void {
  suite.test(
    'a producer with partitions, after a loop without: CONFLICT names the loop and what to do',
    {},
    async (bench) => {
      const transport = bench.transport()
      const loop = transport.consumer(bench.topic, { group: bench.group })
      await loop.init()
      const error = await rejection(bench.producer({ transport, partitions: 4 }).init(), 'CONFLICT')
      expect(error.retryable).toBe(false)
      for (const part of [
        '1 partition, not 4',
        `consumer ${bench.topic}/${bench.group}`,
        "without 'partitions'",
        'deleteTopic',
      ])
        expect(error.message).toContain(part)
      const elsewhere = await rejection(
        bench.producer({ transport: bench.transport(), partitions: 4 }).init(),
        'CONFLICT',
      )
      expect(elsewhere.message).toContain("without 'partitions'")
    },
  )
}
