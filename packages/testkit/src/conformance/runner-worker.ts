// A service for tests that send it signals: the adapter is the package in the working directory, as built.
import { ConsumerRunner, Transport } from '@streamswitch/core'
import { loadAdapter } from './worker-adapter.js'

interface Task {
  readonly url: string
  readonly topic: string
  readonly group: string
  readonly partitions: number
  readonly options: Readonly<Record<string, unknown>>
  readonly transport: string
}

function say(line: string): void {
  process.send?.(line)
}

const { url, topic, group, partitions, options } = JSON.parse(process.argv[2] ?? '{}') as Task
const finish = new Promise<void>((resolveFinish) => process.once('message', () => resolveFinish()))
const transport = new Transport(await loadAdapter(), url, { environment: {}, options })
// Where nobody listens, connecting would go on for long after the signal.
const loop = transport.consumer(topic, { group, partitions, connectTimeoutMs: 120_000 })
loop.handle(async ({ id }) => {
  say(`handling ${id}`)
  await finish
  say(`handled ${id}`)
})
const runner = new ConsumerRunner([transport, loop], {
  environment: {},
  onStartup: () => {
    // In the next turn it is connecting.
    setImmediate(() => say('connecting'))
  },
  afterStartup: () => say('running'),
  onStop: () => say('stopping'),
  afterStop: ({ state }) => say(state),
})
try {
  await runner.run()
} catch (error) {
  process.stderr.write(`${String(error)}\n`)
  process.exitCode = 1
}
process.channel?.unref()
