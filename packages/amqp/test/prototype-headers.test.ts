import { expect, onTestFinished, test } from 'vitest'
import { brokerUrl } from './support/broker.js'
import { openTransport, uniqueName } from './support/member.js'
import { long, publishRaw, short } from './support/raw-publisher.js'

const bytes = long('x', Buffer.from('bytes'))
/** A table of one entry, `__proto__`. */
const table = long('F', Buffer.concat([short(Buffer.from('__proto__')), bytes]))

test('a header whose table has an entry __proto__ of bytes is a header like any other: its message and those behind it are handled', async () => {
  const topic = uniqueName('prototypes')
  const transport = openTransport(brokerUrl)
  onTestFinished(() => transport.close())
  const bodies: unknown[] = []
  const natives: unknown[] = []
  const loop = transport.consumer(topic, { group: 'g', codec: 'text' })
  loop.handle((message) => {
    bodies.push(message.value)
    natives.push((message.native as { properties: { headers: unknown } }).properties.headers)
  })
  await loop.init()
  void loop.run()
  const headers = ['streamswitch-key', '__proto__', 'other'].map((name) => [Buffer.from(name), table] as const)
  const message = { routingKey: Buffer.from('k'), properties: new Map<number, Buffer>() }
  await publishRaw(topic, [
    { ...message, body: Buffer.from('hostile'), headers },
    { ...message, body: Buffer.from('behind it'), headers: [] },
  ])
  await expect.poll(() => bodies, { timeout: 20_000, interval: 20 }).toEqual(['hostile', 'behind it'])
  expect(loop.stats().reconnects).toBe(0)
  const [received] = natives as Record<string, object>[]
  expect(Object.keys(received ?? {}).sort()).toEqual(expect.arrayContaining(['__proto__', 'other', 'streamswitch-key']))
  const value = Object.getOwnPropertyDescriptor(received?.['other'] ?? {}, '__proto__')?.value as Buffer
  expect(value.toString()).toBe('bytes')
})
