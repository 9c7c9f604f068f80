import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Delivery } from '@streamswitch/core/driver'
import { describe, expect, it, onTestFinished } from 'vitest'
import { brokerUrl } from './support/broker.js'
import { joinGroup, sendAll, type TestMember, uniqueTopic } from './support/member.js'
import { commitAs, openConnection } from './support/raw-member.js'

async function topicWith(values: readonly string[]): Promise<string> {
  const topic = uniqueTopic()
  await sendAll(topic, values)
  return topic
}

const delivered = async (member: TestMember, count: number): Promise<[string | undefined, number, boolean][]> => {
  await member.sink.until(() => member.sink.deliveries.length >= count)
  return member.sink.deliveries.map((one) => [one.bytes?.toString(), one.attempt, one.suspect])
}

async function metadataOf(topic: string): Promise<string> {
  const [found] = await openConnection().administer((admin) =>
    admin.fetchOffsets({ groupId: `${topic}-group`, topics: [topic] }),
  )
  return found?.partitions[0]?.metadata ?? ''
}

describe('attempts', () => {
  it('of messages that failed are on record, and go with the partition', async () => {
    const topic = await topicWith(['a', 'b', 'c', 'd'])
    const first = await joinGroup({ topic })
    await first.sink.until(() => first.sink.deliveries.length === 4)
    const [a, b, c] = first.sink.deliveries as [Delivery, Delivery, Delivery]
    await first.driver.attempts?.failed(c.assignment, c, 2)
    await first.driver.attempts?.failed(b.assignment, b, 2)
    await first.driver.attempts?.failed(c.assignment, c, 4)
    await first.driver.commit?.(a.assignment, a)
    expect(await metadataOf(topic)).toMatch(/^streamswitch\/1 owner=[0-9a-f]{12} ahead=\d+ clean=0 attempts=0:2,1:4$/)
    await first.driver.commit?.(b.assignment, b)
    await first.driver.close()
    expect(await metadataOf(topic)).toMatch(/ ahead=2 clean=1 attempts=0:4$/)
    const second = await joinGroup({ topic })
    expect(await delivered(second, 2)).toEqual([
      ['c', 2, false],
      ['d', 0, false],
    ])
  })

  it('of a process that died: what it may have had at work is suspect, what came later is not', async () => {
    const topic = await topicWith(['a', 'b', 'c', 'd'])
    await commitAs(topic, `${topic}-group`, 1, 'streamswitch/1 owner=0000dead0000 ahead=2 clean=0 attempts=1:6')
    const member = await joinGroup({ topic })
    expect(await delivered(member, 3)).toEqual([
      ['b', 0, true],
      ['c', 3, true],
      ['d', 0, false],
    ])
  })

  it('of a process that ended cleanly: nothing is suspect', async () => {
    const topic = await topicWith(['a', 'b'])
    await commitAs(topic, `${topic}-group`, 0, 'streamswitch/1 owner=0000dead0000 ahead=2 clean=1')
    const member = await joinGroup({ topic })
    expect((await delivered(member, 2)).map(([, , suspect]) => suspect)).toEqual([false, false])
  })

  it('noted by another client are none', async () => {
    const topic = await topicWith(['a'])
    await commitAs(topic, `${topic}-group`, 0, '{"some":"thing"}')
    const member = await joinGroup({ topic })
    expect(await delivered(member, 1)).toEqual([['a', 0, false]])
  })

  it('in a newer format are refused, in so many words', async () => {
    const topic = await topicWith(['a'])
    await commitAs(topic, `${topic}-group`, 0, 'streamswitch/2 else=what')
    await expect(joinGroup({ topic })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('upgrade'),
    })
  })

  it('survive kill -9: the message at work is suspect, what was handled and committed does not come again', async () => {
    const topic = await topicWith(['a', 'b', 'stuck', 'behind'])
    const worker = spawn(
      process.execPath,
      [fileURLToPath(new URL('support/stuck-worker.mjs', import.meta.url)), brokerUrl, topic],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    onTestFinished(() => {
      worker.kill('SIGKILL')
    })
    for await (const line of createInterface({ input: worker.stdout })) if (line === 'stuck') break
    // The commit of what was handled follows within commitIntervalMs: the group's own position says when.
    const committed = async (): Promise<string | undefined> => {
      const [found] = await openConnection().administer((admin) =>
        admin.fetchOffsets({ groupId: 'stuck', topics: [topic] }),
      )
      return found?.partitions[0]?.offset
    }
    while ((await committed()) !== '2');
    worker.kill('SIGKILL')
    const heir = await joinGroup({ topic, group: 'stuck', options: { sessionTimeoutMs: 6_000 } })
    const all = await delivered(heir, 2)
    expect(all.map(([text]) => text)).toEqual(['stuck', 'behind'])
    expect(all[0]).toEqual(['stuck', 0, true])
  })
})
