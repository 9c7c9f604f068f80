import { Transport } from '@streamswitch/core'
import http from '../../dist/index.js'

/**
 * A server in its own process: real loops, and what they and the process did, for its parent. Its only argument is the JSON of a
 * `ServerSpec` (server-process.ts).
 */
const { url, options, environment, loops } = JSON.parse(process.argv[2] ?? '{}')
/** @param {object} event */
const tell = (event) => void process.send?.(event)
/** @param {string} level */
const log = (level) => (/** @type {string} */ message) => tell({ log: `${level}: ${message}` })

process.on('disconnect', () => process.exit(0))
process.on('warning', (warning) => tell({ log: `warning of Node.js: ${warning.message}` }))

const MIB = 1024 * 1024
let handled = 0
let errors = 0
/** Most processor time between two turns of the event loop, in milliseconds. */
let longestTurn = 0
let last = process.cpuUsage()
const cpu = (/** @type {NodeJS.CpuUsage} */ usage) => (usage.user + usage.system) / 1000
setInterval(() => {
  longestTurn = Math.max(longestTurn, cpu(process.cpuUsage(last)))
  last = process.cpuUsage()
}, 5)

/** @type {Record<string, (message: import('@streamswitch/core').Message) => unknown>} */
const HANDLERS = {
  count: () => {},
  fail: () => Promise.reject(new Error('it failed')),
  reply: (message) => 'x'.repeat(Number(message.value)),
  parts: async function* (message) {
    for (const size of /** @type {number[]} */ (message.value)) yield 'x'.repeat(size)
  },
  exit: ({ value }) => (value === 'exit' ? process.exit(1) : undefined),
  never: () => new Promise(() => {}),
}

try {
  const logger = { debug: () => {}, info: () => {}, warn: log('warn'), error: log('error') }
  const transport = new Transport(http, url, { environment: environment ?? {}, options, logger })
  for (const { topic, handler, ...settings } of loops) {
    const loop = transport.consumer(topic, settings)
    const handle = HANDLERS[handler ?? 'count']
    loop.on('error', () => {
      errors += 1
    })
    loop.handle((message) => {
      handled += 1
      return handle?.(message)
    })
    await loop.init()
    void loop.run().catch((error) => tell({ log: `ended: ${error}` }))
  }
  process.on('message', ({ ask }) => {
    const { server } = /** @type {import('../../dist/connection.js').HttpNative} */ (transport.native)
    server?.server.getConnections((_error, connections) => {
      // What the heap holds, without garbage.
      globalThis.gc?.()
      const { rss, heapUsed } = process.memoryUsage()
      tell({
        ask,
        stats: {
          handled,
          errors,
          connections,
          kept: Reflect.get(globalThis, Symbol.for('streamswitch.http.exchanges'))?.kept,
          cpuMs: cpu(process.cpuUsage()),
          longestTurnMs: longestTurn,
          peakMib: process.resourceUsage().maxRSS / 1024,
          rssMib: rss / MIB,
          heapMib: heapUsed / MIB,
        },
      })
      longestTurn = 0
    })
  })
  tell({ up: true })
} catch (error) {
  tell({ failed: { code: error?.code, message: error?.message } })
}
