import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { brokerTool } from '@streamswitch/testkit/brokers'
import { expect, onTestFinished, test } from 'vitest'
import { brokerUrl } from './support/broker.js'
import { openTransport, uniqueName } from './support/member.js'

const SCRIPT = fileURLToPath(new URL('./support/foreign-member.py', import.meta.url))
const WAIT = { timeout: 40_000, interval: 20 }
const PARTITIONS = 2

/** A pika consumer of a group's queues, in a process of its own. Resolves once it has joined. */
async function foreignMember(queues: readonly string[]) {
  const child = spawn(await brokerTool('python-clients'), [SCRIPT, brokerUrl, ...queues], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  const exited = once(child, 'exit')
  const handled: string[] = []
  let joined = false
  createInterface({ input: child.stdout }).on('line', (line) => {
    const said = JSON.parse(line) as { joined?: true; handled?: string }
    if (said.joined === true) joined = true
    if (said.handled !== undefined) handled.push(said.handled)
  })
  await expect.poll(() => joined, WAIT).toBe(true)
  return {
    handled,
    leave: async () => {
      child.stdin.end()
      await exited
    },
  }
}

test('a group is handed from a loop to a pika consumer of its queues and back: each message is handled once, in order', async () => {
  const transport = openTransport(brokerUrl)
  onTestFinished(() => transport.close())
  const [topic, group] = [uniqueName('shared'), uniqueName('group')]
  onTestFinished(() => transport.admin.deleteTopic(transport.topicSpec(topic)))
  const queues = Array.from({ length: PARTITIONS }, (_, partition) => `${topic}:${group}:${partition}`)
  const producer = transport.producer<string>(topic, { partitions: PARTITIONS, codec: 'text' })
  const handled: string[] = []
  const join = async () => {
    const loop = transport.consumer<string>(topic, { group, codec: 'text', partitions: PARTITIONS })
    loop.handle(({ value }) => void handled.push(value))
    const ended = loop.run()
    await loop.init()
    return {
      partitions: () => loop.stats().partitions,
      leave: async () => {
        await loop.close()
        await ended
      },
    }
  }
  const ours = await join()
  const sent: string[] = []
  const send = async (count: number): Promise<void> => {
    const values = Array.from({ length: count }, (_, index) => String(sent.length + index))
    sent.push(...values)
    await Promise.all(values.map((value) => producer.send(value, { key: `key-${Number(value) % 12}` })))
  }
  const allOnce = async (...others: (readonly string[])[]): Promise<void> => {
    const all = () => [...handled, ...others.flat()].sort((a, b) => Number(a) - Number(b))
    await expect.poll(() => new Set(all()).size, WAIT).toBe(sent.length)
    expect(all()).toEqual([...sent].sort((a, b) => Number(a) - Number(b)))
  }

  await expect.poll(ours.partitions, WAIT).toBe(PARTITIONS)
  await send(100)
  await allOnce()
  const foreign = await foreignMember(queues)
  const flowing = send(100)
  await ours.leave()
  await flowing
  await send(50)
  await allOnce(foreign.handled)
  expect(foreign.handled.length, 'the other one takes part').toBeGreaterThan(0)
  for (let key = 0; key < 12; key += 1) {
    const ofKey = foreign.handled.map(Number).filter((value) => value % 12 === key)
    expect(ofKey, 'in order').toEqual([...ofKey].sort((a, b) => a - b))
  }

  const again = await join()
  const before = handled.length
  await foreign.leave()
  await send(100)
  await expect.poll(again.partitions, WAIT).toBe(PARTITIONS)
  await allOnce(foreign.handled)
  expect(handled.length, 'and gives the group back').toBeGreaterThan(before)
  await again.leave()
}, 120_000)
