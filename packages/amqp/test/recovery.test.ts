import { expect, onTestFinished, test } from 'vitest'
import { brokerUrl } from './support/broker.js'
import { callApi } from './support/management-api.js'
import { type Handled, openTransport, Sender, startMember, uniqueName } from './support/member.js'

const WAIT = { timeout: 20_000, interval: 10 }

async function running(partitions: number) {
  const topic = uniqueName('recovery')
  const transport = openTransport(brokerUrl)
  const handled: Handled[] = []
  const member = await startMember({
    url: brokerUrl,
    topic,
    group: 'g',
    name: 'm',
    handled,
    settings: { partitions, probeIntervalMs: 300 },
  })
  const sender = new Sender(transport.producer<number>(topic, { probeIntervalMs: 300 }))
  onTestFinished(async () => {
    await member.transport.close()
    await transport.admin.deleteTopic(transport.topicSpec(topic))
    await transport.close()
  })
  const numbers = (): number[] => [...new Set(handled.map(({ number }) => number))]
  return { topic, transport, member, sender, numbers }
}

test('queues of the group deleted: reported, made again, and consumed again', async () => {
  const { topic, member, sender, numbers } = await running(3)
  sender.send(30)
  await expect.poll(() => numbers().length, WAIT).toBe(30)
  const before = member.loop.assignments.map(({ epoch }) => epoch)
  for (const partition of [0, 2]) await callApi('DELETE', `queues/%2F/${encodeURIComponent(`${topic}:g:${partition}`)}`)
  await expect.poll(() => member.errors.length, WAIT).toBe(2)
  await expect.poll(() => member.loop.assignments.length, WAIT).toBe(3)
  expect(Math.max(...before)).toBeLessThan(Math.max(...member.loop.assignments.map(({ epoch }) => epoch)))
  await sender.producer.flush()
  sender.send(60)
  await expect.poll(() => numbers().length, WAIT).toBe(90)
  expect(member.loop.stats().reconnects, 'the connection stays').toBe(0)
})

test('topic deleted and made again while sender and loop are there: both go on', async () => {
  const { topic, transport, sender, numbers } = await running(2)
  sender.send(10)
  await expect.poll(() => numbers().length, WAIT).toBe(10)
  await callApi('DELETE', `exchanges/%2F/${encodeURIComponent(topic)}`)
  await expect
    .poll(async () => {
      sender.send(1)
      await sender.producer.flush()
      return numbers().some((number) => number >= 10)
    }, WAIT)
    .toBe(true)
  await transport.admin.deleteTopic(transport.topicSpec(topic))
  const gone = sender.sent
  await expect
    .poll(async () => {
      sender.send(1)
      await sender.producer.flush()
      return numbers().some((number) => number >= gone)
    }, WAIT)
    .toBe(true)
})

test('closing gives back what was not started: the next member gets it at once, in order, and not as suspect', async () => {
  const { topic, member, sender } = await running(1)
  member.loop.pause()
  sender.send(500)
  await expect.poll(() => member.loop.stats().waiting, WAIT).toBe(500)
  await member.transport.close()
  const handled: Handled[] = []
  let most = 0
  let now = 0
  const next = await startMember({
    url: brokerUrl,
    topic,
    group: 'g',
    name: 'next',
    handled,
    handler: async () => {
      now += 1
      most = Math.max(most, now)
      await new Promise((resolve) => setImmediate(resolve))
      now -= 1
    },
  })
  onTestFinished(() => next.transport.close())
  await expect.poll(() => handled.length, WAIT).toBe(500)
  for (const key of new Set(handled.map((one) => one.key))) {
    const numbers = handled.filter((one) => one.key === key).map(({ number }) => number)
    expect(numbers).toEqual([...numbers].sort((left, right) => left - right))
  }
  expect(most, 'a suspect would run alone').toBeGreaterThan(8)
  expect(handled.every(({ attempt }) => attempt === 1)).toBe(true)
})
