import { expect, onTestFinished, test } from 'vitest'
import { brokerUrl } from './support/broker.js'
import { callApi } from './support/management-api.js'
import {
  expectCompleteInOrder,
  type Handled,
  isComplete,
  openTransport,
  Sender,
  startMember,
  uniqueName,
} from './support/member.js'
import { type Line, startWorker } from './support/worker.js'

const PARTITIONS = 8
const WAIT = { timeout: 20_000, interval: 5 }

/** A topic with a sender that goes on until the test says so. */
async function traffic() {
  const topic = uniqueName('members')
  const transport = openTransport(brokerUrl)
  const sender = new Sender(transport.producer<number>(topic, { partitions: PARTITIONS }))
  const handled: Handled[] = []
  const join = async (name: string) => {
    const member = await startMember({
      url: brokerUrl,
      topic,
      group: 'g',
      name,
      handled,
      settings: { partitions: PARTITIONS, prefetch: 50 },
      handler: () => new Promise((resolve) => setImmediate(resolve)),
    })
    onTestFinished(() => member.transport.close())
    return member
  }
  onTestFinished(async () => {
    await transport.admin.deleteTopic(transport.topicSpec(topic))
    await transport.close()
  })
  const flow = async (count: number): Promise<void> => {
    const target = handled.length + count
    await expect
      .poll(() => {
        if (sender.unconfirmed < 200) sender.send(50)
        return handled.length
      }, WAIT)
      .toBeGreaterThan(target)
  }
  return { topic, sender, handled, join, flow }
}

test('members that join and leave under load share the partitions; nothing is lost, doubled or out of order', async () => {
  const { sender, handled, join, flow } = await traffic()
  const first = await join('first')
  await flow(500)
  const second = await join('second')
  const third = await join('third')
  await expect
    .poll(() => [first, second, third].map((member) => member.loop.assignments.length).sort(), WAIT)
    .toEqual([2, 3, 3])
  await flow(1_500)
  expect(new Set(handled.slice(-1_000).map(({ member }) => member)).size, 'all three work').toBe(3)
  await second.loop.close()
  await flow(500)
  await first.loop.close()
  await flow(500)
  await expect.poll(() => third.loop.assignments.length, WAIT).toBe(PARTITIONS)
  await expect.poll(() => isComplete(sender, handled), WAIT).toBe(true)
  expect(expectCompleteInOrder(sender, handled), 'duplicates').toBe(0)
  expect(sender.failed).toEqual([])
})

test('a connection that the broker cuts: others take over, the member comes back, order holds', async () => {
  const { sender, handled, join, flow } = await traffic()
  await join('stays')
  const cut = await join('cut')
  await join('stays-too')
  await flow(1_000)
  const name = await connectionOf('cut consumer g')
  await callApi('DELETE', `connections/${encodeURIComponent(name)}`)
  await expect.poll(() => cut.loop.stats().reconnects, WAIT).toBe(1)
  await flow(1_000)
  await expect.poll(() => cut.loop.assignments.length, WAIT).toBeGreaterThanOrEqual(2)
  await expect.poll(() => isComplete(sender, handled), WAIT).toBe(true)
  // At most what the member held unsettled when it was cut: its prefetch for each of its partitions.
  expect(expectCompleteInOrder(sender, handled)).toBeLessThanOrEqual(50 * PARTITIONS)
})

test('a member that is killed: what it held is handled by the others, in order', async () => {
  const { topic, sender, handled, join, flow } = await traffic()
  await join('stays')
  await join('stays-too')
  await flow(300)
  const worker = startWorker(brokerUrl, topic, 'g', 'normal')
  onTestFinished(() => worker.kill())
  await expect
    .poll(() => {
      if (sender.unconfirmed < 200) sender.send(50)
      return worker.lines().length
    }, WAIT)
    .toBeGreaterThan(200)
  worker.kill()
  expect(await worker.ended).toBe('SIGKILL')
  for (const { key, number = -1, attempt = 1, at = 0 } of worker.lines()) {
    handled.push({ member: 'worker', key, number, attempt, at })
  }
  await flow(1_000)
  await expect.poll(() => isComplete(sender, handled), WAIT).toBe(true)
  expect(expectCompleteInOrder(sender, handled)).toBeLessThanOrEqual(1_000 * PARTITIONS)
  expect(sender.failed).toEqual([])
})

test('a message that kills its process is tried alone, counted across processes, and dead-lettered; its neighbours are handled', async () => {
  const topic = uniqueName('deadly')
  const transport = openTransport(brokerUrl)
  onTestFinished(async () => {
    await transport.admin.deleteTopic(transport.topicSpec(topic))
    await transport.admin.deleteTopic(transport.topicSpec(`${topic}.g.dlq`))
    await transport.close()
  })
  const preparing = transport.consumer(topic, { group: 'g' })
  await preparing.init()
  await preparing.close()
  const producer = transport.producer<number>(topic)
  for (let number = 0; number < 40; number += 1)
    void producer.send(number, { key: number === 20 ? 'poison' : `key-${number}` })
  await producer.flush()
  const said: Line[] = []
  let starts = 0
  while (!said.some(({ deadLetter }) => deadLetter !== undefined) && starts < 12) {
    starts += 1
    const worker = startWorker(brokerUrl, topic, 'g', 'die')
    onTestFinished(() => worker.kill())
    const finished = expect
      .poll(() => worker.lines().some(({ deadLetter }) => deadLetter !== undefined), WAIT)
      .toBe(true)
    await Promise.race([worker.ended, finished.catch(() => {})])
    const behind = (): boolean => new Set([...said, ...worker.lines()].map(({ number }) => number)).size < 40
    if (worker.lines().some(({ deadLetter }) => deadLetter !== undefined)) await expect.poll(behind, WAIT).toBe(false)
    worker.kill()
    await worker.ended
    said.push(...worker.lines())
  }
  // Two deaths are charged to nobody: the message was not alone then. Three attempts are, and the next process gives it up.
  expect(starts).toBe(6)
  expect(said.filter(({ deadLetter }) => deadLetter !== undefined)).toHaveLength(1)
  const numbers = said.flatMap(({ number }) => (number === undefined ? [] : [number]))
  expect(new Set(numbers).size, 'all but the deadly one').toBe(39)
  expect(Math.max(...said.map(({ attempt = 0 }) => attempt)), 'neighbours are not charged with the crashes').toBe(1)
})

async function connectionOf(name: string): Promise<string> {
  let found: string | undefined
  await expect
    .poll(async () => {
      const connections = await callApi<{ name: string; user_provided_name?: string }[]>('GET', 'connections')
      found = connections.find((connection) => connection.user_provided_name === name)?.name
      return found
    }, WAIT)
    .toBeDefined()
  return found as unknown as string
}
