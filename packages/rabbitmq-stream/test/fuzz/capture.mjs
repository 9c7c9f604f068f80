// Records what a broker at 127.0.0.1:5552 sends, for the corpus: `node test/fuzz/capture.mjs` in this package's folder, after a build.
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openTransport } from '@streamswitch/core'
import { RabbitmqStreamProducer } from '@streamswitch/rabbitmq-stream'
import { SocketRecorder } from '@streamswitch/testkit/fuzz'
import { connect } from 'amqplib'
import { Chunk } from '../../dist/chunk.js'

const CORPUS = join(import.meta.dirname, 'corpus')
const URL = process.env['RABBITMQ_STREAM_URL'] ?? 'rabbitmq-stream://guest:guest@127.0.0.1:5552'
const AMQP_URL = process.env['AMQP_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672'
const DELIVER = 8

/**
 * @param {string} target
 * @param {string} name
 * @param {Uint8Array} bytes
 */
function keep(target, name, bytes) {
  mkdirSync(join(CORPUS, target), { recursive: true })
  writeFileSync(join(CORPUS, target, `seed-${name}.bin`), bytes)
}

/** @param {string} compression */
async function record(compression) {
  const recorder = new SocketRecorder()
  recorder.start()
  const transport = await openTransport(URL)
  const topic = `fuzz-${randomBytes(6).toString('hex')}`
  const loop = transport.consumer(topic, { group: 'g', codec: 'bytes', from: 'earliest' })
  let handled = 0
  loop.handle(() => {
    handled += 1
  })
  await loop.init()
  const running = loop.run()
  const batches = { subEntrySize: 10, compression: /** @type {'gzip'} */ (compression) }
  const producer = new RabbitmqStreamProducer(topic, {
    transport,
    codec: 'text',
    ...(compression === 'none' ? {} : batches),
  })
  await Promise.all([
    producer.send('one', { key: 'k', headers: { trace: 'abc', 'x-größe': '✓' } }),
    producer.send('x'.repeat(300), { key: 'k2', id: 'own-id', timestamp: 1_700_000_000_000 }),
    producer.send(undefined, { key: 'k' }),
  ])
  // As a client of AMQP 0-9-1 writes into a stream: with annotations and headers of other types.
  const amqp = await connect(AMQP_URL)
  const channel = await amqp.createConfirmChannel()
  channel.sendToQueue(topic, Buffer.from('foreign'), {
    headers: { list: [1, 'a'], table: { a: true }, number: 7 },
    messageId: 'm',
    priority: 3,
  })
  await channel.waitForConfirms()
  await amqp.close()
  while (handled < 4) await new Promise((resolve) => setTimeout(resolve, 20))
  await transport.close()
  await running
  recorder.stop()
  return recorder.streams(5552)
}

const seen = new Set()
for (const compression of ['none', 'gzip']) {
  let chunks = 0
  for (const stream of await record(compression)) {
    for (let at = 0; at + 4 <= stream.length; ) {
      const end = at + 4 + stream.readUInt32BE(at)
      const frame = stream.subarray(at, end)
      at = end
      const key = frame.readUInt16BE(4)
      if (!seen.has(key)) keep('frames', key.toString(16).padStart(4, '0'), frame)
      seen.add(key)
      if (key !== DELIVER) continue
      const bytes = frame.subarray(frame.readUInt16BE(6) >= 2 ? 17 : 9)
      const chunk = new Chunk(bytes)
      if (chunk.records > 0 && bytes.readInt8(1) === 0 && chunks < 4) {
        chunks += 1
        keep('chunks', `${compression}-${chunks}`, bytes)
      }
      if (compression === 'none')
        for (const [index, entry] of chunk.read(10, 0).entries()) keep('messages', `${chunks}-${index}`, entry.bytes)
    }
  }
}
