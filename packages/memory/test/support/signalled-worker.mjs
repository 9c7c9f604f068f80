// A service in a process of its own, for tests that send it signals. Tells its parent what happens, line by line.
import { ConsumerRunner, openTransport, registerAdapter } from '@streamswitch/core'
import memory from '../../dist/index.js'

const say = (line) => process.send(line)
const finished = new Promise((resolve) => process.once('message', resolve))

const HANDLERS = {
  'finishes when told': () => finished,
  'never ends': () => new Promise(() => {}),
  fails: () => {
    throw new Error('broken for good')
  },
}

registerAdapter(memory)
const transport = await openTransport('memory://')
const loop = transport.consumer('orders', {
  group: 'billing',
  deadLetter: false,
  retry: { attempts: 1 },
  errorPolicy: process.env.POLICY,
})
loop.handle({
  async consume() {
    say('handling')
    await HANDLERS[process.env.HANDLER]()
    await transport.producer('receipts').send('sent while stopping')
    say('handled')
  },
  flush: () => say('flushed'),
})
if (process.env.ALIVE !== undefined) {
  setInterval(() => {}, 1_000_000)
  process.on('SIGTERM', () => say('another part of the application was told'))
}
const runner = new ConsumerRunner([transport, loop], {
  timeoutMs: Number(process.env.TIMEOUT_MS ?? 25_000),
  afterStartup: async () => void transport.producer('orders').send('order'),
  onStop: () => say('stopping'),
  afterStop: (one) => say(one.state),
})
try {
  await runner.run()
  say('resolved')
} catch (error) {
  say(`rejected ${error.code}: ${error.message}`)
  process.exitCode = 1
}
process.channel.unref()
