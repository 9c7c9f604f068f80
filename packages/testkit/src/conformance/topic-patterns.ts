import { type ConsumerSettings, deadLetterTopic, type Producer, type TopicPattern } from '@streamswitch/core'
import { expect } from 'vitest'
import type { Bench, MemberOptions } from './bench.js'
import { thrown } from './expect-error.js'
import { expectExactlyOnceInOrder } from './expect-history.js'
import { load } from './load.js'
import type { Member } from './member.js'
import { uniqueName } from './names.js'
import type { Suite } from './suite.js'

const REFRESH_MS = 100
const KEYS = ['a', 'b', 'c']
const MESSAGES = 20
/** Options of a loop by pattern: topics keep the partitions that they were made with. */
const BY_PATTERN: Partial<Omit<ConsumerSettings, 'group'>> = { partitions: undefined, topicRefreshMs: REFRESH_MS }

/** Takes all topics of a bench whose topics are a family. */
function patternOf(bench: Bench): TopicPattern {
  return { pattern: `${bench.topic.slice(0, bench.topic.lastIndexOf('.'))}.*` }
}

/** Handlers that are at work when the set of topics changes. */
async function unhurried(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

/** Item of 'several topics, pattern': topics that are there, that are added, and that go. */
export function topicPatterns(suite: Suite): void {
  /** Topics are known by what senders name: nothing lists them, and nothing deletes them. */
  const named = suite.senderRetries

  const makeTopic = async (bench: Bench, topic: string): Promise<void> => {
    const transport = bench.transport()
    await transport.admin.provision(transport.topicSpec(topic, { partitions: bench.partitions }))
  }

  const byPattern = (bench: Bench, { settings, ...options }: MemberOptions = {}): Promise<Member> =>
    bench.member({
      topic: patternOf(bench),
      handler: unhurried,
      ...options,
      settings: { ...BY_PATTERN, ...settings },
    })

  const joined = (bench: Bench, member: Member, topics: readonly string[]): Promise<void> => {
    const wanted = [...topics].sort().join()
    return bench.until(() => [...member.loop.topics].sort().join() === wanted, `${member.name} to receive ${wanted}`)
  }

  /** Sends a batch to each topic; one that nobody receives yet must be waited for where it would keep nothing. */
  const send = async (bench: Bench, topics: readonly string[], round: number, members: readonly Member[]) => {
    if (!suite.has('retainsWithoutGroup') && !named)
      for (const member of members)
        await bench.until(() => topics.every((topic) => member.loop.topics.includes(topic)), 'the topics to be joined')
    for (const topic of topics)
      bench.ledger.series(producerOf(bench, topic), KEYS, load(MESSAGES), round * load(MESSAGES))
  }

  suite.describe('topics by pattern', () => {
    suite.test(
      'topics that match are received, now and later; what runs is not disturbed',
      { family: true, topics: 4, partitions: 2 },
      async (bench) => {
        const [first = '', second = '', third = '', fourth = ''] = bench.topics
        for (const topic of [first, second]) await makeTopic(bench, topic)
        const member = await byPattern(bench)
        if (!named) expect([...member.loop.topics].sort()).toEqual([first, second])
        await send(bench, [first, second], 0, [member])
        for (const [round, added] of [third, fourth].entries()) {
          await bench.until(() => member.succeeded.length > 0, 'handlers at work')
          await makeTopic(bench, added)
          await send(bench, [first, second], round + 1, [member])
          await send(bench, [added], 0, [member])
          await joined(bench, member, [first, second, third, fourth].slice(0, 3 + round))
        }
        await bench.handledCount(bench.ledger.ids().length)
        for (const topic of bench.topics) await expectExactlyOnceInOrder(bench, { topic })
      },
    )

    suite.test(
      'two members share the topics, and those that are added',
      { family: true, topics: 3, partitions: suite.partitions },
      async (bench) => {
        const [first = '', second = '', third = ''] = bench.topics
        for (const topic of [first, second]) await makeTopic(bench, topic)
        const members = [await byPattern(bench), await byPattern(bench)]
        await send(bench, [first, second], 0, members)
        await makeTopic(bench, third)
        await send(bench, [third], 0, members)
        if (!named) for (const member of members) await joined(bench, member, bench.topics)
        await send(bench, bench.topics, 1, members)
        await bench.handledCount(bench.ledger.ids().length)
        for (const topic of bench.topics) await expectExactlyOnceInOrder(bench, { topic })
      },
    )

    suite.test(
      'dead letters, topics of Streamswitch itself and other names never match',
      { family: true, topics: 2 },
      async (bench) => {
        const [wanted = '', ending = ''] = bench.topics
        const internal = [deadLetterTopic(wanted, 'somebody'), `streamswitch-${wanted}`]
        const other = uniqueName('other')
        for (const topic of [wanted, ending, ...internal, other]) await makeTopic(bench, topic)
        const member = await byPattern(bench, { topic: { pattern: `*${wanted.slice('topic-'.length, -1)}*` } })
        if (suite.has('retainsWithoutGroup')) {
          const sending = bench.transport()
          for (const topic of [...internal, other]) await sending.producer(topic).send('unwanted')
        }
        await send(bench, [wanted, ending], 0, [member])
        await bench.handledCount(bench.ledger.ids().length)
        await joined(bench, member, [wanted, ending])
        for (const topic of [wanted, ending]) await expectExactlyOnceInOrder(bench, { topic })
        expect(new Set(member.handlings.map((one) => one.topic))).toEqual(new Set([wanted, ending]))
        const cleaner = bench.administration()
        for (const topic of [...internal, other]) await cleaner.admin.deleteTopic(cleaner.topicSpec(topic))
      },
    )

    if (suite.has('replay'))
      suite.test(
        "from: 'latest' loses nothing of a topic that is made while the loop runs",
        { family: true, topics: 2 },
        async (bench) => {
          const [first = '', added = ''] = bench.topics
          await makeTopic(bench, first)
          bench.ledger.series(producerOf(bench, first), ['before'], load(MESSAGES))
          await bench.ledger.allConfirmed()
          const before = new Set(bench.ledger.ids(first))
          const member = await byPattern(bench, { settings: { from: 'latest' } })
          await send(bench, [first, added], 1, [member])
          await bench.handledCount(bench.ledger.ids().length - before.size)
          await expectExactlyOnceInOrder(bench, { topic: first, gone: before })
          await expectExactlyOnceInOrder(bench, { topic: added })
        },
      )

    if (!named)
      suite.test(
        'a topic that is deleted leaves without an error, and stays deleted',
        { family: true, topics: 3 },
        async (bench) => {
          const [kept = '', deleted = '', last = ''] = bench.topics
          for (const topic of [kept, deleted]) await makeTopic(bench, topic)
          const member = await byPattern(bench)
          const errors: unknown[] = []
          member.loop.on('error', (error) => errors.push(error))
          await send(bench, [kept, deleted], 0, [member])
          await bench.handledCount(bench.ledger.ids().length)
          // A producer makes its topic again.
          await bench.ledger.lastProducer(deleted).close()
          const admin = bench.administration()
          await admin.admin.deleteTopic(admin.topicSpec(deleted))
          await joined(bench, member, [kept])
          await makeTopic(bench, last)
          await send(bench, [kept], 1, [member])
          await send(bench, [last], 0, [member])
          await bench.handledCount(bench.ledger.ids().length)
          for (const topic of [kept, last]) await expectExactlyOnceInOrder(bench, { topic })
          expect(errors).toEqual([])
          expect((await admin.admin.topics()).map(({ topic }) => topic)).not.toContain(deleted)
        },
      )

    suite.test(
      'a pattern that can match no topic, and options for making topics, are refused at once',
      {},
      async (bench) => {
        const transport = bench.transport()
        for (const pattern of ['Orders.*', '', 'a/b', 'o?', 7 as unknown as string])
          expect(thrown(() => transport.consumer({ pattern }, { group: 'g' }), 'INVALID_ARGUMENT').message).toContain(
            'pattern',
          )
        const { message } = thrown(
          () => transport.consumer({ pattern: '*' }, { group: 'g', partitions: 2 }),
          'INVALID_ARGUMENT',
        )
        expect(message).toContain('partitions')
      },
    )
  })
}

/** One per topic: order is that of one producer. */
function producerOf(bench: Bench, topic: string): Producer {
  return bench.ledger.sent(topic).length === 0 ? bench.producer({ topic }) : bench.ledger.lastProducer(topic)
}
