// Records what a broker at 127.0.0.1:9092 sends, for the corpus: `node test/fuzz/capture.mjs` in this package's folder, after a build.
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { openTransport } from '@streamswitch/core'
import { SocketRecorder } from '@streamswitch/testkit/fuzz'
import { decodeMetadata } from '../../dist/commit-metadata.js'
import { compress } from '../../dist/compression.js'
import { decodeFetchResponse } from '../../dist/fetch-response.js'

const CORPUS = join(import.meta.dirname, 'corpus')
const URL = process.env['KAFKA_URL'] ?? 'kafka://127.0.0.1:9092'
const PORT = 9092
/** Behind size and correlation id. */
const RESPONSE_AT = 8

/**
 * @param {string} target
 * @param {string} name
 * @param {Uint8Array} bytes
 */
function keep(target, name, bytes) {
  mkdirSync(join(CORPUS, target), { recursive: true })
  writeFileSync(join(CORPUS, target, `seed-${name}.bin`), bytes)
}

/**
 * @param {string} compression
 * @returns {Promise<Buffer[]>} Responses, whatever to.
 */
async function responses(compression) {
  const recorder = new SocketRecorder()
  recorder.start()
  const transport = await openTransport(URL, { options: { compression } })
  const topic = `fuzz-${randomBytes(6).toString('hex')}`
  const loop = transport.consumer(topic, { group: 'g', codec: 'text', retry: { attempts: 1 } })
  let handled = 0
  loop.handle(() => {
    handled += 1
  })
  await loop.init()
  const running = loop.run()
  const producer = transport.producer(topic, { codec: 'text' })
  const long = 'x'.repeat(300)
  await Promise.all([
    producer.send('one', { key: 'k', headers: { trace: 'abc', 'x-größe': '✓' } }),
    producer.send(long, { key: 'k2', id: 'own-id', timestamp: 1_700_000_000_000 }),
    producer.send(undefined, { key: 'k' }),
    producer.send('', {}),
  ])
  while (handled < 4) await new Promise((resolve) => setTimeout(resolve, 20))
  await transport.close()
  await running
  recorder.stop()
  return recorder.streams(PORT).flatMap(framesOf)
}

/** @param {Buffer} stream */
function framesOf(stream) {
  const frames = []
  for (let at = 0; at + 4 <= stream.length; ) {
    const end = at + 4 + stream.readInt32BE(at)
    frames.push(stream.subarray(at, end))
    at = end
  }
  return frames
}

for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
  let count = 0
  for (const frame of await responses(compression)) {
    const body = frame.subarray(RESPONSE_AT)
    const text = body.toString('latin1')
    const metadata = /streamswitch\/1 [ -~]*/.exec(text)?.[0]
    if (metadata !== undefined && decodeMetadata(0, metadata, 't') !== undefined)
      keep('commit-metadata', compression, Buffer.from(metadata))
    const response = await decodeFetchResponse(body, { maxDecompressedBytes: 2 ** 20 }).catch(() => undefined)
    const partitions = response?.responses.flatMap((one) => one.partitions) ?? []
    if (!partitions.some(({ messages }) => messages.length > 0)) continue
    count += 1
    keep('fetch-response', `${compression}-${count}`, body)
    const magic = body.indexOf(Buffer.from([0, 0, 0, 0, 2]))
    if (magic > 0) keep('record-batches', `${compression}-${count}`, body.subarray(magic - 12))
  }
}
const plain = Buffer.from('{"a":1}'.repeat(60))
for (const [index, bytes] of [
  gzipSync(plain),
  await compress(2, plain),
  await compress(3, plain),
  await compress(4, plain),
].entries())
  keep('compressed-data', ['gzip', 'snappy', 'lz4', 'zstd'][index] ?? '', Buffer.concat([Buffer.of(index), bytes]))
