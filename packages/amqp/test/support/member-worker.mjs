// A member in a process of its own, to be killed: prints what it handles, one line each. Arguments: url, topic, group, then what
// to do: `normal`, or `die` to end the process in the handler of a message whose key is `poison`.
import { Transport } from '@streamswitch/core'
import adapter from '../../dist/index.js'

const [url, topic, group, behaviour] = process.argv.slice(2)
const transport = new Transport(adapter, url, { options: { memberIntervalMs: 200 } })
const loop = transport.consumer(topic, { group, concurrency: 16, retry: { attempts: 3, minDelayMs: 1, maxDelayMs: 5 } })
loop.handle(async (message) => {
  if (behaviour === 'die' && message.key === 'poison') process.kill(process.pid, 'SIGKILL')
  process.stdout.write(`${JSON.stringify({ key: message.key, number: message.value, attempt: message.attempt })}\n`)
  await new Promise((resolve) => setImmediate(resolve))
})
loop.on('deadLetter', ({ id, attempts }) => process.stdout.write(`${JSON.stringify({ deadLetter: id, attempts })}\n`))
await loop.init()
process.stdout.write('{"ready":true}\n')
await loop.run()
