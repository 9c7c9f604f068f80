// A loop in a process of its own: tells its parent of every start of a handler, leaves when asked to, and dies of the value -1.
import { Transport } from '@streamswitch/core'
import adapter from '@streamswitch/rabbitmq-stream'

const [url, topic, group] = process.argv.slice(2)
const transport = new Transport(adapter, url, { environment: {} })
const loop = transport.consumer(topic, { group, concurrency: 8, partitions: undefined })

loop.handle(async (message) => {
  const { value, key, attempt } = message
  await new Promise((resolve) => process.send({ value, key, attempt }, resolve))
  if (value === -1) process.kill(process.pid, 'SIGKILL')
})
process.on('message', async () => {
  await transport.close()
  process.disconnect()
})

const run = loop.run()
await loop.init()
process.send('ready')
await run
