// A service of its own process: handles what comes, and gets stuck in the message that says so.
import { Transport } from '@streamswitch/core'
import kafka from '../../dist/index.js'

const [, , url, topic] = process.argv
const transport = new Transport(kafka, url, { environment: {} })
const loop = transport.consumer(topic, {
  group: 'stuck',
  codec: 'text',
  concurrency: 1,
  kafka: { sessionTimeoutMs: 6_000 },
})
loop.handle(async (message) => {
  process.stdout.write(`${message.value}\n`)
  if (message.value === 'stuck') await new Promise((resolve) => setTimeout(resolve, 3_600_000))
})
await loop.run()
