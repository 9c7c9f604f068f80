// Prints, as JSON, which files of core one send and one delivery pass through, over the memory transport. Run with
// trace-register.mjs, after a build.
import { openTransport, registerAdapter } from '../../packages/core/dist/index.js'
import memory from '../../packages/memory/dist/index.js'

/** @typedef {{ file: string, name: string }} Entry */

/** @type {Entry[] | undefined} */
let entries
Reflect.set(globalThis, 'streamswitchTrace', (/** @type {string} */ file, /** @type {string} */ name) =>
  entries?.push({ file, name }),
)

registerAdapter(memory)
const transport = await openTransport('memory://')
const send = await tracedSend()
const delivery = await tracedDelivery()
await transport.close()
process.stdout.write(JSON.stringify({ send, delivery }))

/** The second send of a producer, from the call until it has resolved: nobody reads the topic. */
async function tracedSend() {
  const producer = transport.producer('sent')
  await producer.send({ order: 1 })
  const taken = await record(async () => {
    await producer.send({ order: 2 })
  })
  await producer.close()
  return summary(taken)
}

/** The second delivery of a loop, from the driver's call until the loop has acked it. */
async function tracedDelivery() {
  const producer = transport.producer('handled')
  const loop = transport.consumer('handled', { group: 'traced' })
  loop.handle(async () => {})
  const ended = loop.run()
  await producer.send({ order: 1 })
  await settled(loop, 1)
  const taken = await record(async () => {
    await producer.send({ order: 2 })
    await settled(loop, 2)
  })
  await loop.close()
  await ended
  await producer.close()
  const first = taken.findIndex(({ name }) => name === 'deliver')
  // What the send still does after its message was delivered isn't the delivery's, nor is the question for the statistics.
  return summary(
    taken.slice(first).filter(({ file, name }) => !file.startsWith('produce') && !/stat/i.test(`${file}${name}`)),
  )
}

/**
 * @param {import('../../packages/core/dist/index.js').ConsumerLoop} loop
 * @param {number} handled
 */
async function settled(loop, handled) {
  while (loop.stats().handled < handled || loop.stats().unsettled > 0)
    await new Promise((resolve) => setImmediate(resolve))
}

/** @param {() => Promise<void>} body */
async function record(body) {
  /** @type {Entry[]} */
  const taken = []
  entries = taken
  await body()
  entries = undefined
  return taken
}

/** @param {readonly Entry[]} taken */
function summary(taken) {
  const files = taken.map(({ file }) => file)
  return {
    files: [...new Set(files)],
    changes: files.filter((file, index) => index > 0 && file !== files[index - 1]).length,
    calls: taken.length,
  }
}
