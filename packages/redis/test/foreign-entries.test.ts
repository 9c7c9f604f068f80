import type { Message } from '@streamswitch/core'
import { expect, test } from 'vitest'
import type { RedisEntry } from '../src/entry.js'
import { openRedis, plainClient, unique, until } from './bench.js'
import { brokerUrl } from './broker-url.js'

type Fields = [string, string | Buffer][]

const fieldsOf = ({ native }: Message): [string, string][] =>
  (native as RedisEntry).rawFields.map(([name, value]) => [name.toString('latin1'), value.toString('latin1')])

/** A topic whose handler fails until it is repaired, and a client that knows nothing of us. */
async function open(partitions = 1) {
  const transport = openRedis(brokerUrl)
  const [topic, outputs, forwards] = [unique('topic'), unique('outputs'), unique('forwards')]
  const forwarding = transport.producer(forwards, { partitions })
  const seen: Message[] = []
  const scene = { failing: true, headers: {} as Record<string, string> }
  const loop = transport.consumer(topic, { group: 'g', partitions, retry: { attempts: 1 } })
  loop.handle(
    async (message) => {
      seen.push(message)
      if (scene.failing) throw new Error('fails')
      await forwarding.forward(message, { headers: scene.headers })
      return 'made of it'
    },
    { to: transport.producer(outputs, { partitions }) as never },
  )
  await forwarding.init()
  await loop.init()
  void loop.run()
  const client = plainClient(brokerUrl)
  const write = (fields: Fields, stream = topic): Promise<unknown> => client.call('XADD', stream, '*', ...fields.flat())
  const box = transport.deadLetters(topic, { group: 'g' })
  return { transport, topic, outputs, forwards, loop, seen, scene, client, write, box }
}

test("an entry without payload keeps its own fields 'id', 'key' and 'timestamp' in the dead letters and at a replay", async () => {
  const { topic, forwards, loop, seen, scene, client, write, box } = await open()
  const fields: Fields = [
    ['id', '7'],
    ['key', 'their key'],
    ['timestamp', 'yesterday'],
    ['h.total', '12'],
  ]
  await write(fields)
  await until(() => loop.stats().deadLettered === 1)
  const id = seen[0]?.id ?? ''
  const [[, written = []] = []] = await client.xrange(`${topic}.g.dlq`, '-', '+')
  expect(written.slice(0, 8)).toEqual(fields.flat())
  expect(written.slice(8)).toEqual(
    expect.arrayContaining(['h.streamswitch-id', id, 'h.streamswitch-timestamp', String(seen[0]?.timestamp)]),
  )
  expect((await box.show(id)).bytes?.toString()).toBe(JSON.stringify(Object.fromEntries(fields)))
  scene.failing = false
  await box.replay({ all: true })
  await until(() => seen.length === 2)
  expect(seen[1]).toMatchObject({ id, key: undefined, timestamp: seen[0]?.timestamp, headers: {} })
  expect(seen[1]?.value).toEqual(Object.fromEntries(fields))
  expect(seen[1] && fieldsOf(seen[1]).slice(0, 4)).toEqual(fields)
  // Among its own fields a header would be data: then it gets a payload.
  scene.headers = { tenant: 'acme' }
  await write([['total', '13']])
  await until(async () => (await client.xlen(forwards)) === 2)
  const [, [, forwarded = []] = []] = await client.xrange(forwards, '-', '+')
  expect(forwarded).toEqual(expect.arrayContaining(['payload', '{"total":"13"}', 'h.tenant', 'acme']))
})

test('a binary key chooses the partition by its bytes, also for what a handler makes of its message', async () => {
  const { topic, outputs, forwards, scene, client, write } = await open(4)
  scene.failing = false
  const keys = ['92345678', 'ff', 'c328', '80'].map((hex) => Buffer.from(hex, 'hex'))
  for (const key of keys)
    await write(
      [
        ['payload', '1'],
        ['key', key],
      ],
      `${topic}:0`,
    )
  const partitionsOf = async (name: string): Promise<string[]> => {
    const found: string[] = []
    for (const partition of [0, 1, 2, 3])
      for (const [, fields] of await client.xrangeBuffer(`${name}:${partition}`, '-', '+'))
        found.push(`${fields[fields.findIndex((one) => String(one) === 'key') + 1]?.toString('hex')} ${partition}`)
    return found.sort()
  }
  // FNV-1a of the bytes, by hand.
  const expected = keys.map((key) => {
    let hash = 0x811c9dc5n
    for (const byte of key) hash = BigInt.asUintN(32, (hash ^ BigInt(byte)) * 0x01000193n)
    return `${key.toString('hex')} ${hash % 4n}`
  })
  await until(async () => (await partitionsOf(outputs)).length === 4 && (await partitionsOf(forwards)).length === 4)
  expect(await partitionsOf(outputs)).toEqual(expected.sort())
  expect(await partitionsOf(forwards)).toEqual(expected.sort())
})

test('an entry of more fields than one call can take is a substitute in the dead letters, which says so', async () => {
  const { loop, seen, write, box } = await open()
  const fields: Fields = [['payload', '{"total":12}']]
  await write([...fields, ...Array.from({ length: 3_900 }, (_, index): [string, string] => [`f${index}`, ''])])
  await write([...fields, ...Array.from({ length: 3_800 }, (_, index): [string, string] => [`f${index}`, ''])])
  await until(() => loop.stats().deadLettered === 2)
  const { letters } = await box.list()
  const incomplete = new Map(letters.map((letter) => [letter.id, letter.incomplete]))
  expect(incomplete.get(seen[0]?.id ?? '')).toMatch(/^field 'f0', field 'f1', /)
  expect([...incomplete.values()].filter((one) => one === undefined)).toHaveLength(1)
})
