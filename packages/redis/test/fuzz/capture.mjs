// Records entries of a server at 127.0.0.1:6379, for the corpus: `node test/fuzz/capture.mjs` in this package's folder, after a build.
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openTransport } from '@streamswitch/core'
import { Redis } from 'ioredis'

const CORPUS = join(import.meta.dirname, 'corpus', 'entries')
const URL = process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379'
const topic = `fuzz-${randomBytes(6).toString('hex')}`
const transport = await openTransport(URL)
const producer = transport.producer(topic, { codec: 'text' })
await producer.send('one', { key: 'k', headers: { trace: 'abc', 'x-größe': '✓' } })
await producer.send('two', { id: 'own-id', timestamp: 1_700_000_000_000 })
await producer.send(undefined, { key: 'k' })
await transport.close()
const client = new Redis(URL)
await client.xadd(topic, '*', 'temperature', '21', Buffer.from([0xff, 0xfe]), 'x', 'temperature', '22')
const entries = await client.xrangeBuffer(topic, '-', '+')
mkdirSync(CORPUS, { recursive: true })
for (const [index, [id, fields]] of entries.entries()) {
  const parts = [id, ...fields].flatMap((bytes) => {
    const length = Buffer.alloc(2)
    length.writeUInt16BE(bytes.length)
    return [length, bytes]
  })
  writeFileSync(join(CORPUS, `seed-${index}.bin`), Buffer.concat(parts))
}
await client.del(topic, `ss:{${topic}}:meta`)
client.disconnect()
