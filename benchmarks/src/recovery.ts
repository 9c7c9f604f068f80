// node benchmarks/dist/recovery.js URL [messages]: how fast a member works off a backlog whose last member was killed, beside one whose
// last member had closed. 64 partitions, handlers of 100 ms, a full inbox.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { openTransport } from '@streamswitch/core'

const PARTITIONS = 64
const CONCURRENCY = 64
const HANDLER_MS = 100
const BEFORE_THE_END = 2 * CONCURRENCY

interface Life {
  /** Handled by this member, and the time from its first start to its last end. */
  handled: number
  workedMs: number
  /** From the end of the member before it to its first start. */
  waitedMs: number
}

const [url = 'redis://127.0.0.1:6379', given = '3000', memberOf] = process.argv.slice(2)
if (memberOf === undefined) await compare(Number(given))
else await member(memberOf)

async function member(topic: string): Promise<void> {
  const transport = await openTransport(url)
  const loop = transport.consumer(topic, { group: 'recovery', partitions: PARTITIONS, concurrency: CONCURRENCY })
  loop.handle(async () => {
    process.send?.('start')
    await new Promise((resolve) => setTimeout(resolve, HANDLER_MS))
    process.send?.('end')
  })
  process.on('SIGTERM', () => void transport.close().then(() => process.exit(0)))
  process.on('disconnect', () => process.exit(0))
  await loop.run()
}

/** Runs a member until it has handled so many messages, then ends it. */
async function live(topic: string, until: number, signal: 'SIGTERM' | 'SIGKILL'): Promise<Life> {
  const begun = performance.now()
  const child = fork(fileURLToPath(import.meta.url), [url, given, topic])
  let first: number | undefined
  let last = 0
  let handled = 0
  await new Promise<void>((resolve) => {
    child.on('message', (what) => {
      if (what === 'start') first ??= performance.now()
      else {
        handled += 1
        last = performance.now()
        if (handled === until) resolve()
      }
    })
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  await ended
  return { handled, workedMs: last - (first ?? last), waitedMs: (first ?? last) - begun }
}

async function measure(messages: number, signal: 'SIGTERM' | 'SIGKILL'): Promise<Life> {
  const topic = `recovery-${Date.now().toString(36)}`
  await using transport = await openTransport(url)
  const producer = transport.producer<number>(topic, { partitions: PARTITIONS })
  const joined = transport.consumer(topic, { group: 'recovery', partitions: PARTITIONS })
  await joined.init()
  await joined.close()
  await Promise.all(Array.from({ length: messages }, (_, n) => producer.send(n, { key: `key-${n}` })))
  const before = await live(topic, BEFORE_THE_END, signal)
  return live(topic, messages - Math.max(BEFORE_THE_END + CONCURRENCY, before.handled), 'SIGTERM')
}

async function compare(messages: number): Promise<void> {
  const clean = await measure(messages, 'SIGTERM')
  const killed = await measure(messages, 'SIGKILL')
  const rate = ({ handled, workedMs }: Life): number => (handled * 1000) / workedMs
  const line = (name: string, life: Life): string =>
    `${name}: first start after ${Math.round(life.waitedMs)} ms, then ${rate(life).toFixed(0)} messages/s (${life.handled} in ${Math.round(life.workedMs)} ms)`
  console.log(line('after a clean close', clean))
  console.log(line('after kill -9     ', killed))
  console.log(`rate after kill -9: ${((100 * rate(killed)) / rate(clean)).toFixed(1)} % of that after a clean close`)
  process.exit(0)
}
