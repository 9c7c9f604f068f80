import { once } from 'node:events'
import { createServer } from 'node:net'
import { Transport } from '@streamswitch/core'
import http from '@streamswitch/http'
import fastify from 'fastify'
import { Pool } from 'undici'
import { type Case, type Comparison, concurrently, IN_FLIGHT, PAYLOAD, timed } from '../harness.js'

const MESSAGES = 20_000

/** undici by hand against a fastify server in this process; Streamswitch against its own receiving side in this process. */
export function httpComparisons(): Comparison[] {
  return [
    {
      title: 'HTTP, request to 2xx',
      reference: 'undici, tuned (Pool, 50 connections)',
      cases: [
        againstFastify('undici, naive (await each request)', 2_000, 1),
        againstFastify('undici, tuned (Pool, 50 connections)', MESSAGES, 50),
        ours(),
      ],
    },
  ]
}

function againstFastify(name: string, messages: number, connections: number): Case {
  return {
    name,
    messages,
    run: async (count) => {
      const server = fastify()
      server.removeAllContentTypeParsers()
      server.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
      server.post('/orders/bench', async (_request, reply) => reply.code(204).send())
      const origin = await server.listen({ host: '127.0.0.1', port: 0 })
      const pool = new Pool(origin, { connections, pipelining: 1 })
      const seconds = await timed(() =>
        concurrently(count, Math.min(IN_FLIGHT, connections), async () => {
          const { body } = await pool.request({
            method: 'POST',
            path: '/orders/bench',
            body: PAYLOAD,
            headers: { 'content-type': 'application/octet-stream' },
          })
          await body.dump()
        }),
      )
      await pool.close()
      await server.close()
      return seconds
    },
  }
}

function ours(): Case {
  return {
    name: 'Streamswitch (receiver and handler included)',
    messages: MESSAGES,
    run: async (messages) => {
      await using transport = new Transport(http, `http://127.0.0.1:${await freePort()}`, { environment: {} })
      const loop = transport.consumer('orders', { group: 'bench', codec: 'bytes', concurrency: IN_FLIGHT })
      loop.handle(() => {})
      void loop.run()
      await loop.init()
      const producer = transport.producer('orders', { codec: 'bytes' })
      await producer.init()
      return timed(() => concurrently(messages, IN_FLIGHT, () => producer.send(PAYLOAD)))
    },
  }
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
