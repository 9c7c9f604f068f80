// A service on the memory transport with a health port. Tells its parent the port, and on request how much it has handled and used.
import { ConsumerRunner, Transport } from '@streamswitch/core'
import memory from '../../dist/index.js'

const transport = new Transport(memory, 'memory://')
const producer = transport.producer('orders')
const loop = transport.consumer('orders', { group: 'billing' })
let handled = 0
loop.handle(() => {
  handled += 1
})
const details = process.argv[2] === undefined ? {} : { details: process.argv[2] === 'true' }
const runner = new ConsumerRunner([loop], { health: { port: 0, ...details }, signals: ['SIGTERM'] })
process.on('message', async () => {
  await producer.send({ id: handled })
  process.send({
    handled,
    cpuMicros: process.cpuUsage().user + process.cpuUsage().system,
    rss: process.memoryUsage.rss(),
  })
})
const finished = runner.run({})
await loop.init()
process.send({ port: runner.healthAddress.port })
await finished
await transport.close()
process.disconnect()
