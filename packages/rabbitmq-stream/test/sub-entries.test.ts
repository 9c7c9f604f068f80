import type { OutgoingRecord, StreamError } from '@streamswitch/core/driver'
import { expect, test } from 'vitest'
import { openClient } from '../src/connection.js'
import { encodeSubEntries } from '../src/publish-frame.js'
import { openStream, sourceOf, unique, until } from './support/bench.js'
import { BROKER_URL } from './support/broker.js'

const COMPRESSION_AT = 21
const UNREAD = { snappy: 2, lz4: 3, zstd: 4 }

test.each(Object.entries(UNREAD))('a batch that is compressed by %s: UNSUPPORTED, by its name', async (name, code) => {
  const topic = unique('topic')
  const transport = openStream()
  await transport.admin.provision(transport.topicSpec(topic))
  const client = await openClient(sourceOf(BROKER_URL))
  const { connection, publisherId } = await client.publisher(topic, undefined)
  const record = { id: 'a', payload: Buffer.from('1'), timestamp: 0 } as unknown as OutgoingRecord
  const settings = { publisherId, frameMaxBytes: 1_048_576 }
  const frame = encodeSubEntries([record, record], { id: 1n, from: 0, to: 2 }, settings, 'none')
  frame?.writeUInt8(0x80 | (code << 4), COMPRESSION_AT)
  connection.write(frame as Buffer)
  const loop = transport.consumer<number>(topic, { group: unique('group'), retry: { attempts: 1 } })
  const errors: StreamError[] = []
  loop.on('error', (error) => errors.push(error as StreamError))
  loop.handle(() => {})
  const run = loop.run()
  await loop.init()
  await until(() => errors.some(({ message }) => message.includes(name)))
  expect(errors.find(({ message }) => message.includes(name))).toMatchObject({ code: 'UNSUPPORTED', retryable: false })
  await loop.close()
  await run
  await client.close()
})
