import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Transport } from '@streamswitch/core'
import http from '@streamswitch/http'
import { Pool } from 'undici'
import {
  type Case,
  type Comparison,
  concurrently,
  IN_FLIGHT,
  type Measured,
  newMessage,
  PAYLOAD,
  timed,
} from '../measuring/case.js'
import { wrkPosts } from '../tools/wrk.js'
import { framed } from './http-frames.js'

/** Messages of one request of the batch endpoint. */
const BATCH = 500
const CONNECTIONS = 50
const BATCHED = `undici and fastify by hand, tuned (batch endpoint, ${BATCH} messages with ids per request, an outcome for each, 2 in flight)`
const PATH = '/orders/bench'

/** undici by hand against a fastify server by hand; Streamswitch against its own receiving side. */
export function httpComparisons(): Comparison[] {
  return [
    {
      title: 'HTTP, message to 2xx',
      about:
        "Nothing is kept between the two sides, so that sending and handling are measured as one: a message is sent when the receiver, in a process of its own, has handled it. The CPU time is the sending side's.",
      reference: BATCHED,
      cases: [
        posting('undici, naive (await each request)', 2_000, 1),
        posting(`undici by hand (Pool, ${CONNECTIONS} connections, a request per message)`, 20_000, CONNECTIONS),
        batched(),
        ours(),
        {
          name: `wrk -t 1 -c ${CONNECTIONS} (in C), a request per message to the fastify server`,
          messages: 20_000,
          run: (messages) => withReceiver('single', (origin) => wrkPosts(`${origin}${PATH}`, CONNECTIONS, messages)),
        },
      ],
    },
  ]
}

async function withReceiver(
  kind: 'single' | 'batch' | 'streamswitch',
  body: (origin: string) => Promise<Measured>,
): Promise<Measured> {
  const child = fork(fileURLToPath(new URL('./http-receiver.js', import.meta.url)), [kind])
  const ended = once(child, 'exit')
  try {
    const [{ port }] = (await Promise.race([
      once(child, 'message'),
      ended.then(() => Promise.reject(new Error('the receiver ended'))),
    ])) as [{ port: number }]
    return await body(`http://127.0.0.1:${port}`)
  } finally {
    if (child.connected) child.disconnect()
    await ended
  }
}

async function post(pool: Pool, body: Buffer): Promise<void> {
  const headers = { 'content-type': 'application/octet-stream' }
  const response = await pool.request({ method: 'POST', path: PATH, body, headers })
  if (response.statusCode === 200) {
    const { failed } = (await response.body.json()) as { failed: readonly unknown[] }
    if (failed.length > 0) throw new Error(`${failed.length} messages have failed`)
    return
  }
  await response.body.dump()
  if (response.statusCode !== 204) throw new Error(`the receiver answered ${response.statusCode}`)
}

function posting(name: string, messages: number, connections: number): Case {
  return {
    name,
    messages,
    run: (count) =>
      withReceiver('single', async (origin) => {
        const pool = new Pool(origin, { connections, pipelining: 1 })
        await post(pool, PAYLOAD)
        const measured = await timed(() => concurrently(count, connections, () => post(pool, PAYLOAD)))
        await pool.close()
        return measured
      }),
  }
}

function batched(): Case {
  const inFlight = IN_FLIGHT / BATCH
  return {
    name: BATCHED,
    messages: 100_000,
    run: (messages) =>
      withReceiver('batch', async (origin) => {
        const pool = new Pool(origin, { connections: inFlight, pipelining: 1 })
        await post(pool, batchOf(1))
        const measured = await timed(() =>
          concurrently(Math.ceil(messages / BATCH), inFlight, (index) =>
            post(pool, batchOf(Math.min(BATCH, messages - index * BATCH))),
          ),
        )
        await pool.close()
        return measured
      }),
  }
}

/** So many messages. */
const batchOf = (count: number): Buffer => framed(Array.from({ length: count }, newMessage))

function ours(): Case {
  return {
    name: 'Streamswitch',
    messages: 100_000,
    run: (messages) =>
      withReceiver('streamswitch', async (origin) => {
        await using transport = new Transport(http, origin, { environment: {} })
        const producer = transport.producer('orders', { codec: 'bytes' })
        await producer.init()
        return await timed(() => concurrently(messages, IN_FLIGHT, () => producer.send(PAYLOAD)))
      }),
  }
}
