import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { brokerTool } from '@streamswitch/testkit/brokers'
import { expect, onTestFinished, test } from 'vitest'
import { openRedis, plainClient, unique, until } from './bench.js'
import { brokerUrl } from './broker-url.js'

const QUICK = { heartbeatMs: 100, leaseMs: 1_000, claimIdleMs: 400 }

test.each(['key', 'none'] as const)(
  "ordering '%s': what a foreign consumer of the group has read and not acked is handled while the loop runs",
  async (ordering) => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    const transport = openRedis(brokerUrl, QUICK)
    const loop = transport.consumer(topic, { group, ordering })
    const [seen, errors]: [unknown[], Error[]] = [[], []]
    loop.on('error', (error) => void errors.push(error))
    void loop.handle((message) => void seen.push(message.value)).run()
    await loop.init()
    const producer = transport.producer(topic)
    await producer.send('before')
    await until(() => seen.includes('before'))
    const replies = await client
      .multi()
      .xadd(topic, '*', 'payload', '"taken"')
      .xreadgroup('GROUP', group, 'somebody', 'COUNT', 10, 'STREAMS', topic, '>')
      .exec()
    expect(JSON.stringify(replies), 'the foreign consumer has it').toContain('taken')
    await producer.send('after')
    await until(() => seen.includes('taken') && seen.includes('after'))
    await until(async () => (await loop.lag()).every(({ lag }) => lag === 0))
    expect(seen.toSorted()).toEqual(['after', 'before', 'taken'])
    const reported = errors.filter((error) => error.message.includes("'somebody'"))
    expect(reported).toHaveLength(ordering === 'key' ? 1 : 0)
  },
)

test('what is written to the bare name of a topic with several partitions is reported', async () => {
  const [topic, group] = [unique('topic'), unique('group')]
  const client = plainClient(brokerUrl)
  const loop = openRedis(brokerUrl, QUICK).consumer(topic, { group, partitions: 3 })
  const errors: Error[] = []
  loop.on('error', (error) => void errors.push(error))
  void loop.handle(() => {}).run()
  await loop.init()
  await client.xadd(topic, '*', 'payload', '1')
  await until(() => errors.length > 0)
  await client.xadd(topic, '*', 'payload', '2')
  await loop.lag()
  expect(errors).toHaveLength(1)
  expect(errors[0]).toMatchObject({ code: 'CONFLICT', topic, message: expect.stringContaining(`'${topic}:2'`) })
})

test('a group is handed from a loop to a redis-py consumer and back: each message is handled once', async () => {
  const [topic, group] = [unique('topic'), unique('group')]
  const transport = openRedis(brokerUrl, QUICK)
  const producer = transport.producer<string>(topic, { partitions: 2, codec: 'text' })
  await producer.init()
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
  const sent: string[] = []
  const send = async (count: number): Promise<void> => {
    const values = Array.from({ length: count }, (_, index) => String(sent.length + index))
    sent.push(...values)
    await Promise.all(values.map((value) => producer.send(value, { key: `key-${Number(value) % 12}` })))
  }
  const python = await brokerTool('python-clients')
  const script = fileURLToPath(new URL('./foreign-member.py', import.meta.url))
  const foreign: string[] = []
  const child = spawn(python, [script, brokerUrl, group, `${topic}:0`, `${topic}:1`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  const allOnce = async (): Promise<void> => {
    const all = () => [...handled, ...foreign].sort((a, b) => Number(a) - Number(b))
    await until(() => new Set(all()).size === sent.length)
    expect(all()).toEqual([...sent].sort((a, b) => Number(a) - Number(b)))
  }

  const leave = await join()
  await send(50)
  const lines = createInterface({ input: child.stdout })
  lines.on('line', (line) => {
    const said = JSON.parse(line) as { handled?: string }
    if (said.handled !== undefined) foreign.push(said.handled)
  })
  await once(lines, 'line')
  const flowing = send(100)
  await leave()
  await flowing
  await send(50)
  await allOnce()
  expect(foreign.length, 'the other one takes part').toBeGreaterThan(0)

  const leaveAgain = await join()
  const before = handled.length
  const exited = once(child, 'exit')
  child.stdin.end()
  await exited
  await send(100)
  await allOnce()
  expect(handled.length, 'and gives the group back').toBeGreaterThan(before)
  await leaveAgain()
}, 120_000)
