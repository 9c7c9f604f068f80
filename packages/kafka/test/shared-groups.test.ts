import { expect, onTestFinished, test } from 'vitest'
import { type ForeignMember, foreignMember } from './support/foreign-member.js'
import { openTransport, uniqueTopic } from './support/member.js'

const WAIT = { timeout: 40_000, interval: 20 }
const LONG = 120_000
const PARTITIONS = 4

/** A topic, a producer that sends numbered values under 20 keys until told otherwise, and a loop that takes down what it handles. */
async function running(group: string) {
  const topic = uniqueTopic()
  const transport = openTransport()
  onTestFinished(() => transport.close())
  const producer = transport.producer<string>(topic, { partitions: PARTITIONS, codec: 'text' })
  await producer.init()
  const handled: string[] = []
  const errors: { readonly code: string; readonly message: string }[] = []
  const join = async () => {
    const loop = transport.consumer<string>(topic, {
      group,
      codec: 'text',
      from: 'earliest',
      kafka: { sessionTimeoutMs: 10_000 },
    })
    loop.on('error', (error) => errors.push(error))
    loop.handle(({ value }) => void handled.push(value))
    const ended = loop.run()
    // Where it is refused, `init` says so as well.
    ended.catch(() => {})
    await loop.init()
    return { loop, ended }
  }
  const sent: string[] = []
  const send = async (count: number): Promise<void> => {
    const values = Array.from({ length: count }, (_, index) => String(sent.length + index))
    sent.push(...values)
    await Promise.all(values.map((value) => producer.send(value, { key: `key-${Number(value) % 20}` })))
  }
  return { topic, transport, join, send, sent, handled, errors }
}

/** Each value once, whoever handled it. */
async function allOnce(sent: readonly string[], ...handled: (readonly string[])[]): Promise<void> {
  const sorted = (values: readonly string[]): string[] => [...values].sort((a, b) => Number(a) - Number(b))
  await expect.poll(() => new Set(handled.flat()).size, WAIT).toBe(sent.length)
  expect(sorted(handled.flat())).toEqual(sorted(sent))
}

const shared = (member: ForeignMember, owned: () => number) =>
  expect.poll(() => [owned(), member.partitions?.length], WAIT).toEqual([PARTITIONS / 2, PARTITIONS / 2])

test.each([
  ['aiokafka', 'default', 'whose only strategy is roundrobin'],
  ['aiokafka', 'range', 'that assigns ranges'],
  ['confluent-kafka', 'range', 'that assigns ranges, on librdkafka'],
  ['confluent-kafka', 'roundrobin', 'that assigns in turn, on librdkafka'],
] as const)(
  "a group is shared with a member of %s ('%s'), %s: partitions go to it and back, each message is handled once",
  async (client, strategy, _what) => {
    const group = 'shared'
    const { topic, transport, join, send, sent, handled, errors } = await running(group)
    const ours = await join()
    await send(100)
    const joining = await foreignMember(client, topic, group, strategy)
    const owned = () => ours.loop.stats().partitions
    await shared(joining, owned)
    await send(100)
    await allOnce(sent, handled, joining.handled)
    expect(joining.handled.length, 'the other one takes part').toBeGreaterThan(0)

    // While messages flow: it leaves, and all come back.
    const flowing = send(200)
    await joining.leave()
    await flowing
    await expect.poll(owned, WAIT).toBe(PARTITIONS)
    await send(50)
    await allOnce(sent, handled, joining.handled)

    // The other way round: we leave.
    const successor = await foreignMember(client, topic, group, strategy)
    await shared(successor, owned)
    const last = send(200)
    await ours.loop.close()
    await ours.ended
    await last
    await expect.poll(() => successor.partitions?.length, WAIT).toBe(PARTITIONS)
    await allOnce(sent, handled, joining.handled, successor.handled)
    expect(errors).toEqual([])
    await expect
      .poll(async () => (await transport.admin.lag(transport.topicSpec(topic), group)).map(({ lag }) => lag), WAIT)
      .toEqual(Array.from({ length: PARTITIONS }, () => 0))
    await successor.leave()
  },
  LONG,
)

test(
  'a group whose members have no strategy in common with ours: CONFLICT, which names the setting, at once',
  async () => {
    const group = 'sticky'
    const { topic, join, send, sent } = await running(group)
    const foreign = await foreignMember('confluent-kafka', topic, group, 'cooperative-sticky')
    await expect.poll(() => foreign.partitions?.length, WAIT).toBe(PARTITIONS)
    await expect(join()).rejects.toMatchObject({
      code: 'CONFLICT',
      retryable: false,
      message: expect.stringMatching(/range and roundrobin.*partition\.assignment\.strategy/),
    })
    await send(20)
    await allOnce(sent, foreign.handled)
    await foreign.leave()
  },
  LONG,
)

test(
  'a group that has settled on roundrobin: a member that offers only range is the one that is refused, and ours go on',
  async () => {
    const group = 'mixed'
    const { topic, join, send, sent, handled } = await running(group)
    const { loop, ended } = await join()
    const inTurn = await foreignMember('aiokafka', topic, group, 'default')
    await shared(inTurn, () => loop.stats().partitions)
    const ranges = await foreignMember('confluent-kafka', topic, group, 'range')
    await expect.poll(() => ranges.refusals.join('\n'), WAIT).toMatch(/INCONSISTENT_GROUP_PROTOCOL|inconsistent/i)
    await send(60)
    await allOnce(sent, handled, inTurn.handled)
    await loop.close()
    await ended
    await inTurn.leave()
  },
  LONG,
)
