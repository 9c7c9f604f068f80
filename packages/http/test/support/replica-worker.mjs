import { Transport } from '@streamswitch/core'
import http from '../../dist/index.js'

/** A replica in a process of its own: handles messages of `orders` in group `g`, tells each start and end to its parent. */
const [url = '', member = '', fate = ''] = process.argv.slice(2)
/** @param {object} event */
const tell = (event) => void process.send?.({ member, ...event })

process.on('disconnect', () => process.exit(0))
const transport = new Transport(http, url, { environment: {} })
const loop = transport.consumer('orders', { group: 'g', retry: { attempts: 1_000 } })
loop.handle(async (message) => {
  tell({ event: 'start', id: message.id, key: message.key, attempt: message.attempt })
  if (message.headers.fate === 'kill' && fate !== 'survives') return new Promise(() => {})
  await new Promise(setImmediate)
  tell({ event: 'end', id: message.id, key: message.key, attempt: message.attempt })
})
await loop.init()
void loop.run()
tell({ event: 'up' })
