// The receiving process of the HTTP cases: `single` takes one message per request, `batch` many of them with their lengths before
// them, `streamswitch` is a loop. Tells its parent the port and ends with it.
import { once } from 'node:events'
import { createServer } from 'node:net'
import { Transport } from '@streamswitch/core'
import http from '@streamswitch/http'
import fastify from 'fastify'
import { IN_FLIGHT } from '../measuring/case.js'

const [kind] = process.argv.slice(2)
const port = kind === 'streamswitch' ? await receiveByLoop() : await receiveByHand(kind === 'batch')
process.on('disconnect', () => process.exit())
process.send?.({ port })

function handle(_message: Uint8Array): void {}

async function receiveByHand(batched: boolean): Promise<number> {
  const server = fastify({ bodyLimit: 16 * 1024 * 1024 })
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  server.post('/orders/bench', async (request, reply) => {
    const body = request.body as Buffer
    if (!batched) handle(body)
    else
      for (let at = 0; at < body.length; ) {
        const end = at + 4 + body.readUInt32BE(at)
        handle(body.subarray(at + 4, end))
        at = end
      }
    return reply.code(204).send()
  })
  return Number(new URL(await server.listen({ host: '127.0.0.1', port: 0 })).port)
}

async function receiveByLoop(): Promise<number> {
  const free = await freePort()
  const transport = new Transport(http, `http://127.0.0.1:${free}`, { environment: {} })
  const loop = transport.consumer<Uint8Array>('orders', { group: 'bench', codec: 'bytes', concurrency: IN_FLIGHT })
  loop.handle((message) => handle(message.value))
  void loop.run()
  await loop.init()
  return free
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  return address.port
}
