// Records what a broker at 127.0.0.1:5672 sends, for the corpus: `node test/fuzz/capture.mjs` in this package's folder, after a build.
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openTransport } from '@streamswitch/core'
import { SocketRecorder } from '@streamswitch/testkit/fuzz'
import { connect } from 'amqplib'

const CORPUS = join(import.meta.dirname, 'corpus')
const URL = process.env['AMQP_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672'
const HEADER = 2
const BODY = 3
const MAX_HEADERS = 12

/**
 * @param {string} target
 * @param {string} name
 * @param {Uint8Array} bytes
 */
function keep(target, name, bytes) {
  mkdirSync(join(CORPUS, target), { recursive: true })
  writeFileSync(join(CORPUS, target, `seed-${name}.bin`), bytes)
}

const recorder = new SocketRecorder()
recorder.start()
const topic = `fuzz-${randomBytes(6).toString('hex')}`
const transport = await openTransport(URL)
const loop = transport.consumer(topic, { group: 'g', codec: 'bytes', retry: { attempts: 2, minDelayMs: 1 } })
let handled = 0
loop.handle(({ id }) => {
  handled += 1
  if (id === 'fails') throw new Error('it fails')
})
await loop.init()
const running = loop.run()
const producer = transport.producer(topic, { codec: 'text' })
await producer.send('one', { key: 'k', headers: { trace: 'abc', 'x-größe': '✓', CC: 'x' } })
await producer.send('two', { id: 'fails', timestamp: 1_700_000_000_000 })
const amqp = await connect(URL)
const channel = await amqp.createConfirmChannel()
const headers = {
  list: [1, 'a', { b: null }],
  table: { a: true },
  long: { '!': 'int64', value: 7 },
  time: { '!': 'timestamp', value: 1_700_000_000 },
  bytes: Buffer.from([0xff]),
}
channel.publish(topic, '0', Buffer.from('foreign'), {
  headers,
  messageId: 'm',
  priority: 3,
  type: 't',
  appId: 'a',
  expiration: '60000',
  timestamp: 1_700_000_000,
})
await channel.waitForConfirms()
await amqp.close()
while (handled < 4) await new Promise((resolve) => setTimeout(resolve, 20))
await transport.close()
await running
recorder.stop()
let headersSeen = 0
const kinds = new Set()
for (const [index, stream] of recorder.streams(5672).entries()) {
  keep('frames', `connection-${index}`, stream.subarray(0, 4_000))
  for (let at = 0; at + 7 <= stream.length; ) {
    const end = at + 7 + stream.readUInt32BE(at + 3) + 1
    const type = stream.readUInt8(at)
    const payload = stream.subarray(at + 7, end - 1)
    at = end
    if (type === HEADER) {
      // Of messages that differ in names and numbers only, one.
      const shape = payload
        .subarray(12)
        .toString('latin1')
        .replaceAll(/[0-9a-z.-]+/g, '')
      if (kinds.has(shape) || headersSeen === MAX_HEADERS) continue
      kinds.add(shape)
      headersSeen += 1
      keep('message-properties', String(headersSeen), payload.subarray(12))
      keep('content-header', String(headersSeen), payload.subarray(12))
    }
    const text = payload.toString('latin1')
    if (type !== BODY || !text.startsWith('{')) continue
    const target =
      text.includes('"instance"') || text.includes('"topic"') || text.includes('"offset"')
        ? 'members-and-topics'
        : text.includes('"attempts"')
          ? 'attempt-state'
          : 'partition-count'
    // Names and numbers differ, members do not.
    const kind = `${target}-${(text.match(/"\w+":/g) ?? []).join('')}`
    if (!kinds.has(kind)) keep(target, String(kinds.size), payload)
    kinds.add(kind)
  }
}
