// The process under attack: one loop that handles, remembers ids and logs. Run by `arrival-attacks.ts`.
import { type AdapterDefinition, MemoryDedupeStore, Transport } from '@streamswitch/core'

/** What the process is told when it starts, as JSON in its first argument. */
export interface AttackedLoopTask {
  readonly module: string
  readonly url: string
  readonly topic: string
  readonly group: string
  readonly consumer: Readonly<Record<string, unknown>>
}

/** How it is doing. */
export interface AttackedLoopState {
  readonly ids: readonly string[]
  /** Log lines that hold a control character. */
  readonly forgedLines: readonly string[]
  readonly cpuMicros: number
  /** After a garbage collection. */
  readonly heapBytes: number
  readonly timestamps: readonly number[]
}

const task = JSON.parse(process.argv[2] ?? '') as AttackedLoopTask
const { default: adapter } = (await import(task.module)) as { default: AdapterDefinition }
const ids: string[] = []
const timestamps: number[] = []
const forgedLines: string[] = []
const log = (line: string): void => {
  if (/\p{Cc}/u.test(line)) forgedLines.push(line)
}
const transport = new Transport(adapter, task.url, {
  environment: {},
  logger: { debug: log, info: log, warn: log, error: log },
})
const loop = transport.consumer(task.topic, {
  group: task.group,
  codec: 'bytes',
  retry: { attempts: 2, minDelayMs: 0, maxDelayMs: 0 },
  dedupe: { store: new MemoryDedupeStore() },
  ...task.consumer,
})
loop.handle((message) => {
  // The first start fails, so that the id stands in a log line.
  if (message.attempt === 1) throw new Error(`once more: ${message.id}`)
  ids.push(message.id)
  timestamps.push(message.timestamp)
})
process.on('message', () => {
  globalThis.gc?.()
  const { user, system } = process.cpuUsage()
  const state: AttackedLoopState = {
    ids,
    forgedLines,
    cpuMicros: user + system,
    heapBytes: process.memoryUsage().heapUsed + process.memoryUsage().external,
    timestamps,
  }
  process.send?.(state)
})
process.once('disconnect', () => void transport.close())
const ended = loop.run()
await loop.init()
process.send?.('ready')
await ended
