// The receiving process of the HTTP cases: `single` takes one message per request, `batch` many of them with their lengths before
// them, `streamswitch` is a loop. Tells its parent the port and ends with it.
import { once } from 'node:events'
import { createServer } from 'node:net'
import { Transport } from '@streamswitch/core'
import http from '@streamswitch/http'
import fastify from 'fastify'
import { CountingHandler, IN_FLIGHT } from '../measuring/case.js'
import { unframed } from './http-frames.js'

const [kind] = process.argv.slice(2)
const port = kind === 'streamswitch' ? await receiveByLoop() : await receiveByHand(kind === 'batch')
process.on('disconnect', () => process.exit())
process.send?.({ port })

const handler = new CountingHandler()

async function receiveByHand(batched: boolean): Promise<number> {
  const server = fastify({ bodyLimit: 16 * 1024 * 1024 })
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  server.post('/orders/bench', async (request, reply) => {
    const body = request.body as Buffer
    if (!batched) {
      handler.handle(body)
      return reply.code(204).send()
    }
    // Each message has its own outcome: a failed one must not repeat those beside it.
    const failed: { id: string; error: string }[] = []
    for (const message of unframed(body)) {
      try {
        handler.handle(message.payload)
      } catch (error) {
        failed.push({ id: message.id, error: String(error) })
      }
    }
    return reply.send({ failed })
  })
  return Number(new URL(await server.listen({ host: '127.0.0.1', port: 0 })).port)
}

async function receiveByLoop(): Promise<number> {
  const free = await freePort()
  const transport = new Transport(http, `http://127.0.0.1:${free}`, { environment: {} })
  const loop = transport.consumer<Uint8Array>('orders', { group: 'bench', codec: 'bytes', concurrency: IN_FLIGHT })
  loop.handle((message) => handler.handle(message.bytes as Buffer))
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
