import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { brokerTool } from '@streamswitch/testkit/brokers'
import { expect, onTestFinished, test } from 'vitest'
import { openStream, unique } from './support/bench.js'
import { BROKER_URL } from './support/broker.js'

const SCRIPT = fileURLToPath(new URL('./support/foreign-member.py', import.meta.url))
const WAIT = { timeout: 40_000, interval: 20 }

/** An rstream consumer in a process of its own, in the group as a single active consumer. Resolves once it has joined. */
async function foreignMember(topic: string, partitions: number, group: string) {
  const { hostname, port } = new URL(BROKER_URL)
  const args = [SCRIPT, hostname, port || '5552', topic, String(partitions), group]
  const child = spawn(await brokerTool('python-clients'), args, { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  const exited = once(child, 'exit')
  const active = new Set<string>()
  const handled: string[] = []
  let joined = false
  createInterface({ input: child.stdout }).on('line', (line) => {
    const said = JSON.parse(line) as { joined?: true; active?: string; handled?: string }
    if (said.joined === true) joined = true
    if (said.active !== undefined) active.add(said.active)
    if (said.handled !== undefined) handled.push(said.handled)
  })
  await expect.poll(() => joined, WAIT).toBe(true)
  return {
    active,
    handled,
    leave: async () => {
      child.stdin.end()
      await exited
    },
  }
}

test.each([1, 3])(
  'a group on %i partition(s) is handed from a loop to an rstream consumer and back: each message is handled once',
  async (partitions) => {
    const transport = openStream()
    const [topic, group] = [unique('shared'), unique('group')]
    const producer = transport.producer<string>(topic, { partitions, codec: 'text' })
    await producer.init()
    const sent: string[] = []
    const send = async (count: number): Promise<void> => {
      const values = Array.from({ length: count }, (_, index) => String(sent.length + index))
      sent.push(...values)
      await Promise.all(values.map((value) => producer.send(value, { key: `key-${Number(value) % 12}` })))
    }
    const handled: string[] = []
    const join = async () => {
      const loop = transport.consumer<string>(topic, { group, codec: 'text', from: 'earliest' })
      loop.handle(({ value }) => void handled.push(value))
      const ended = loop.run()
      await loop.init()
      return async () => {
        await loop.close()
        await ended
      }
    }
    const allOnce = async (...others: (readonly string[])[]): Promise<void> => {
      const all = () => [...handled, ...others.flat()].sort((a, b) => Number(a) - Number(b))
      await expect.poll(() => new Set(all()).size, WAIT).toBe(sent.length)
      expect(all()).toEqual([...sent].sort((a, b) => Number(a) - Number(b)))
    }

    const leave = await join()
    await send(100)
    await allOnce()
    const foreign = await foreignMember(topic, partitions, group)
    const flowing = send(100)
    await leave()
    await flowing
    await expect.poll(() => foreign.active.size, WAIT).toBe(partitions)
    await send(50)
    await allOnce(foreign.handled)
    expect(foreign.handled.length, 'the other one takes part').toBeGreaterThan(0)

    const leaveAgain = await join()
    const before = handled.length
    await foreign.leave()
    await send(100)
    await allOnce(foreign.handled)
    expect(handled.length, 'and gives the group back').toBeGreaterThan(before)
    await leaveAgain()
  },
  120_000,
)
