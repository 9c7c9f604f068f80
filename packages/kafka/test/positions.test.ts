import type { Delivery } from '@streamswitch/core/driver'
import { describe, expect, it } from 'vitest'
import { joinGroup, openTransport, sendAll, type TestMember, uniqueTopic } from './support/member.js'
import { commitAs, openConnection } from './support/raw-member.js'

const texts = (member: TestMember): (string | undefined)[] => member.sink.deliveries.map((one) => one.bytes?.toString())

/** A topic that holds these texts at offsets from 0. */
async function topicWith(values: readonly string[]): Promise<string> {
  const topic = uniqueTopic()
  await sendAll(topic, values)
  return topic
}

/** Drops the messages below an offset, as retention does. */
async function truncate(topic: string, offset: number): Promise<void> {
  await openConnection().administer(async (admin) => {
    // kafkajs looks for leaders in metadata that this call, but not the deletion itself, loads.
    await admin.fetchTopicOffsets(topic)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: String(offset) }] })
  })
}

describe('where a new group starts', () => {
  it.each([
    ['earliest', 'earliest' as const, ['a', 'b', 'c', 'd']],
    ['latest', 'latest' as const, ['d']],
    ['an offset', { offset: '2' }, ['c', 'd']],
    ['a time before all', { timestamp: 1 }, ['a', 'b', 'c', 'd']],
    ['a time after all', { timestamp: 4_000_000_000_000 }, ['d']],
  ])('%s', async (_title, from, expected) => {
    const topic = await topicWith(['a', 'b', 'c'])
    const member = await joinGroup({ topic, from })
    await sendAll(topic, ['d'])
    await member.sink.until(() => texts(member).includes('d'))
    expect(texts(member)).toEqual(expected)
    expect([member.sink.outside, member.sink.ignored]).toEqual([[], 0])
  })

  it('is decided once: the next member goes on from there', async () => {
    const topic = await topicWith(['a', 'b'])
    const first = await joinGroup({ topic, from: 'latest' })
    await first.driver.close()
    await sendAll(topic, ['c'])
    const second = await joinGroup({ topic, from: 'latest' })
    await second.sink.until(() => texts(second).length > 0)
    expect(texts(second)).toEqual(['c'])
  })

  it('is reported where the topic does not reach so far, and follows the reset policy', async () => {
    const topic = await topicWith(['a', 'b'])
    const member = await joinGroup({ topic, from: { offset: '50' } })
    await member.sink.until(() => texts(member).length === 2)
    expect(member.sink.outside).toEqual([{ topic, partition: 0, offset: '50', first: '0', last: '1' }])
    const late = await joinGroup({
      topic,
      group: `${topic}-late`,
      from: { offset: '50' },
      outOfRange: 'latest',
    })
    await sendAll(topic, ['c'])
    await late.sink.until(() => texts(late).length > 0)
    expect(texts(late)).toEqual(['c'])
  })

  it('is refused where it is no offset', async () => {
    const topic = await topicWith(['a'])
    await expect(joinGroup({ topic, from: { offset: 'first' } })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('a position', () => {
  it('that the log has dropped is reported, and reading goes on with the oldest message kept', async () => {
    const topic = await topicWith(['a', 'b', 'c', 'd'])
    await commitAs(topic, `${topic}-group`, 1, '')
    await truncate(topic, 3)
    const member = await joinGroup({ topic })
    await member.sink.until(() => texts(member).length > 0)
    expect(texts(member)).toEqual(['d'])
    expect(member.sink.outside).toEqual([{ topic, partition: 0, offset: '1', first: '3', last: '3' }])
    expect(member.sink.gone).toEqual([{ topic, partition: 0, from: '1', to: '3', messages: 2 }])
    expect(member.sink.ignored).toBe(1)
  })

  it('that the log drops while the member is behind: what was fetched is handled all the same, and what is gone is reported', async () => {
    const topic = uniqueTopic()
    let makeRoom: () => void = () => {}
    const member = await joinGroup({ topic, options: { fetchMaxPartitionBytes: 1_024 } })
    member.sink.room = new Promise((resolve) => {
      makeRoom = resolve
    })
    const large = Array.from({ length: 40 }, (_, index) => `${index}:`.padEnd(2_000, '.'))
    for (const value of large) await sendAll(topic, [value])
    await member.sink.until(() => member.sink.deliveries.length > 0)
    await truncate(topic, 38)
    member.sink.room = undefined
    makeRoom()
    await member.sink.until(() => texts(member).some((text) => text?.startsWith('39:')))
    const numbers = texts(member).map((text) => Number(text?.split(':')[0]))
    const fetched = numbers.length - 2
    expect(numbers).toEqual([...Array.from({ length: fetched }, (_, index) => index), 38, 39])
    expect(member.sink.outside).toHaveLength(1)
    expect(member.sink.gone).toEqual([{ topic, partition: 0, from: String(fetched), to: '38', messages: 38 - fetched }])
    expect(member.sink.steps.filter((step) => !step.startsWith('delivered'))).toEqual([
      'assigned 0',
      'outside',
      'removed',
    ])
    const last = member.sink.deliveries.at(-1) as Delivery
    await member.driver.commit?.(last.assignment, last)
    expect(await member.driver.lag?.()).toEqual([{ topic, partition: 0, lag: 0 }])
    expect(member.sink.losses).toEqual([])
  })

  it('moves by seek, forwards and back, with a new assignment', async () => {
    const topic = await topicWith(['a', 'b', 'c'])
    const member = await joinGroup({ topic })
    await member.sink.until(() => texts(member).length === 3)
    const assignment = (): Delivery['assignment'] => [...member.sink.assignments].at(-1) as Delivery['assignment']
    await member.driver.seek?.(assignment(), { offset: '1' })
    await member.sink.until(() => texts(member).length === 5)
    await member.driver.seek?.(assignment(), 'latest')
    await sendAll(topic, ['d'])
    await member.sink.until(() => texts(member).includes('d'))
    expect(texts(member)).toEqual(['a', 'b', 'c', 'b', 'c', 'd'])
    await member.driver.close()
    const next = await joinGroup({ topic })
    await next.sink.until(() => texts(next).length > 0)
    expect(texts(next), 'the group has moved').toEqual(['d'])
  })
})

describe('lag', () => {
  it('counts from the first offset on, before anything is committed and after', async () => {
    const topic = await topicWith(['a', 'b', 'c'])
    const transport = openTransport()
    const spec = transport.topicSpec(topic)
    await expect(transport.admin.lag(spec, `${topic}-group`)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    const member = await joinGroup({ topic })
    await member.sink.until(() => texts(member).length === 3)
    const three = [{ topic, partition: 0, lag: 3 }]
    expect(await member.driver.lag?.()).toEqual(three)
    expect(await transport.admin.lag(spec, `${topic}-group`)).toEqual(three)
    const first = member.sink.deliveries[0] as Delivery
    await member.driver.commit?.(first.assignment, first)
    expect(await member.driver.lag?.()).toEqual([{ topic, partition: 0, lag: 2 }])
    expect(await transport.admin.lag(spec, `${topic}-group`)).toEqual([{ topic, partition: 0, lag: 2 }])
  })
})
