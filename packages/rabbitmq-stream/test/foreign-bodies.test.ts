import type { Message } from '@streamswitch/core'
import { expect, test } from 'vitest'
import { binary, hex, list, map, section, text } from './support/amqp-bytes.js'
import { openStream, unique, until } from './support/bench.js'
import { publishRaw } from './support/raw-publisher.js'

const TIME = 1_767_225_600_000

/** A group of a topic that what `messages` says was published to, once it has handled all. */
async function handle(messages: readonly Buffer[], handler: (message: Message) => unknown = () => undefined) {
  const topic = unique('foreign')
  const transport = openStream()
  await transport.admin.provision(transport.topicSpec(topic))
  await publishRaw(topic, messages)
  const seen: Message[] = []
  const loop = transport.consumer(topic, {
    group: unique('group'),
    codec: 'bytes',
    from: 'earliest',
    retry: { attempts: 1 },
  })
  loop.handle(async (message) => {
    seen.push(message)
    await handler(message)
  })
  await loop.init()
  void loop.run()
  await until(() => loop.stats().acked === messages.length)
  expect(loop.stats().deadLettered).toBe(0)
  return seen
}

function timestamp(value: bigint): Buffer {
  const bytes = Buffer.alloc(9, 0x83)
  bytes.writeBigInt64BE(value, 1)
  return bytes
}

test('a body is its data, its text, or its value as JSON; sequences are one list', async () => {
  const bodies: readonly (readonly [payload: string, ...sections: Buffer[]])[] = [
    ['[1,"a"]', section(0x76, list([hex('5401'), text('a')]))],
    ['[1,true,null]', section(0x76, list([hex('5401')])), section(0x76, list([hex('41'), hex('40')]))],
    ['[]', section(0x76, hex('45'))],
    ['text', section(0x77, text('text'))],
    ['-2', section(0x77, hex('54fe'))],
    ['null', section(0x77, hex('40'))],
    ['{"a":[1,2]}', section(0x77, map([[text('a'), hex('e00402500102')]]))],
    ['raw', section(0x77, binary(Buffer.from('raw')))],
    ['ab', section(0x75, binary(Buffer.from('a'))), section(0x75, binary(Buffer.from('b')))],
    ['', section(0x70, list([]))],
  ]
  const seen = await handle(bodies.map(([, ...sections]) => Buffer.concat(sections)))
  expect(seen.map(({ bytes }) => String(bytes))).toEqual(bodies.map(([payload]) => payload))
})

test('the reply address of another system makes no request; keys may be bytes; times may be in other units', async () => {
  const refusals: unknown[] = []
  const properties = (time: bigint, replyTo: Buffer = hex('40')): Buffer => {
    const none = hex('40')
    return section(0x73, list([text('id'), none, none, none, replyTo, none, none, none, none, timestamp(time)]))
  }
  const keyed = (key: Buffer): Buffer => section(0x74, map([[text('streamswitch-key'), key]]))
  const messages = [
    Buffer.concat([properties(BigInt(TIME), text('erp.answers')), section(0x75, binary(Buffer.from('x')))]),
    Buffer.concat([properties(BigInt(TIME) * 1_000n), keyed(binary(hex('92345678')))]),
    Buffer.concat([properties(BigInt(TIME) * 1_000_000n), keyed(hex('5407'))]),
  ]
  const seen = await handle(messages, async (message) => {
    if (message.replyTo !== undefined) await message.respond('x').catch((error: unknown) => refusals.push(error))
  })
  expect(seen.map(({ timestamp: time }) => time)).toEqual([TIME, TIME, TIME])
  expect(seen.map(({ key }) => key)).toEqual([undefined, hex('92345678').toString(), '7'])
  expect(refusals).toMatchObject([{ code: 'UNSUPPORTED', message: expect.stringContaining('erp.answers') }])
})
