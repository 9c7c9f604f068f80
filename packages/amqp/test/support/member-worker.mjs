// A member in a process of its own, to be killed. Appends what it handles to a file, one line each, before it is acked: what a
// pipe still holds dies with the process. Arguments: url, topic, group, file, then what to do: `normal`, or `die` to end the
// process in the handler of a message whose key is `poison`, or `hang` for handlers that say `started` and never end.
import { openSync, writeSync } from 'node:fs'
import { Transport } from '@streamswitch/core'
import adapter from '../../dist/index.js'

const [url, topic, group, file, behaviour] = process.argv.slice(2)
const output = openSync(file, 'a')
const say = (line) => writeSync(output, `${JSON.stringify(line)}\n`)

const transport = new Transport(adapter, url, { options: { memberIntervalMs: 200 } })
const retry = { attempts: 3, minDelayMs: 1, maxDelayMs: 5 }
const loop = transport.consumer(topic, { group, concurrency: 16, retry })
loop.handle(async (message) => {
  if (behaviour === 'die' && message.key === 'poison') process.kill(process.pid, 'SIGKILL')
  const { key, value: number, attempt } = message
  if (behaviour === 'hang') {
    say({ started: number })
    await new Promise(() => {})
  }
  say({ key, number, attempt, at: Number(process.hrtime.bigint() / 1_000n) })
  await new Promise((resolve) => setImmediate(resolve))
})
loop.on('deadLetter', ({ id, attempts }) => say({ deadLetter: id, attempts }))
await loop.init()
await loop.run()
