// Records requests and responses between two transports of this package, for the corpus: `node test/fuzz/capture.mjs` in this package's folder,
// after a build.
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { openTransport } from '@streamswitch/core'
import { findFreePort } from '@streamswitch/testkit/brokers'
import { SocketRecorder } from '@streamswitch/testkit/fuzz'

const CORPUS = join(import.meta.dirname, 'corpus')
const BATCH = 'application/vnd.streamswitch.batch.v1'

/**
 * @param {string} target
 * @param {string | number} name
 * @param {Uint8Array} bytes
 */
function keep(target, name, bytes) {
  mkdirSync(join(CORPUS, target), { recursive: true })
  writeFileSync(join(CORPUS, target, `seed-${name}.bin`), bytes)
}

const recorder = new SocketRecorder()
const port = await findFreePort()
const url = `http://127.0.0.1:${port}`
const serving = await openTransport(url, { environment: {} })
const loop = serving.consumer('orders', { group: 'billing', retry: { attempts: 1 } })
loop.handle(async function* (message) {
  if (message.value === 'fails') throw new Error('it fails')
  yield message.value
  yield 'second'
})
await loop.init()
const running = loop.run()
recorder.start()
// A server of HTTP takes bytes from its sockets by another way: what passes through here is recorded on both.
const between = createServer((socket) => {
  const onward = connect(port, '127.0.0.1')
  socket.pipe(onward).pipe(socket)
})
const portBetween = await findFreePort()
between.listen(portBetween)
const base = `http://127.0.0.1:${portBetween}`
const sending = await openTransport(base, { environment: {} })
const producer = sending.producer('orders')
await Promise.allSettled(
  ['one', { a: [1, null] }, 'fails', undefined].map((value, index) =>
    producer.send(value, { key: `k${index}`, headers: { trace: 'abc', 'x-größe': '✓' } }),
  ),
)
for await (const part of producer.request('asked')) void part
const body = gzipSync(JSON.stringify({ a: 1 }))
const foreign = await fetch(`${base}/orders/billing`, {
  method: 'POST',
  body: new Uint8Array(body),
  headers: {
    'content-type': 'application/json',
    'content-encoding': 'gzip',
    'idempotency-key': 'foreign',
    'x-own': 'a',
  },
})
await foreign.text()
await (await fetch(`${base}/orders/nobody?a=1`)).text()
await sending.close()
await serving.close()
await running
recorder.stop()
let count = 0
between.close()
for (const stream of recorder.streams(portBetween)) {
  // Messages of one connection follow each other; chunked bodies are left as they are.
  const starts = [
    ...stream.toString('latin1').matchAll(/(?:^|(?<=\n|[^\n]))(?:HTTP\/1\.1 \d|(?:POST|GET) \/\S* HTTP)/g),
  ].map(({ index }) => index)
  for (const [at, start] of starts.entries()) {
    count += 1
    const message = stream.subarray(start, starts[at + 1])
    const end = message.indexOf('\r\n\r\n') + 4
    const text = message.toString('latin1')
    keep(text.startsWith('HTTP') ? 'responses' : 'requests', count, message)
    if (text.includes(BATCH) && !text.startsWith('HTTP')) keep('batch-frames', count, message.subarray(end))
    const boundary = /boundary=(\S+)/.exec(text)?.[1]
    if (boundary !== undefined)
      keep(
        'reply-parts',
        count,
        Buffer.from(
          text
            .slice(end)
            .replaceAll(boundary, 'reply-000000000000000000000000')
            .replaceAll(/(?:^|\r\n)[0-9a-f]+\r\n(?=\r\n--|--)/g, ''),
          'latin1',
        ),
      )
  }
}
