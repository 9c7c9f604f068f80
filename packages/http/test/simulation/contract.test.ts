import type { AddressInfo } from 'node:net'
import { play, SimulatedProcess } from '@streamswitch/testkit/simulation'
import fastify, { type FastifyReply } from 'fastify'
import { type Dispatcher, Pool } from 'undici'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ScriptedPool } from './scripted-client.js'
import { type RequestHandler, ScriptedNetwork } from './scripted-server.js'

/** Sender and receiver, real or scripted: the same steps must give the same transcript. */
interface Bench {
  /** A receiver that hands its requests to `handle`. */
  listen(handle: RequestHandler): Promise<Receiver>
  /** Connections to a receiver: so many requests at a time. */
  pool(receiver: Receiver, connections: number): Pool
}

interface Receiver {
  readonly origin: string
  /** Its process is gone. */
  kill(): Promise<void>
}

/** Written down, in order, by what happens at both ends. */
type Transcript = string[]

type Steps = (bench: Bench, transcript: Transcript) => Promise<void>

const MAX_POLLS = 2_000

/** Gives up after some seconds, virtual ones on the script. */
async function until(condition: () => boolean): Promise<void> {
  for (let polls = 1; !condition(); polls += 1) {
    if (polls > MAX_POLLS) throw new Error(`never: ${condition}`)
    await new Promise<void>((resolve) => setTimeout(resolve, 5))
  }
}

async function onNetwork(steps: Steps): Promise<Transcript> {
  const transcript: Transcript = []
  await steps(
    {
      listen: async (handle) => {
        const app = fastify()
        app.removeAllContentTypeParsers()
        app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
        app.post('/*', (request, reply) => handle(request, reply))
        await app.listen({ host: '127.0.0.1', port: 0 })
        const kill = async (): Promise<void> => {
          app.server.closeAllConnections()
          await app.close()
        }
        onTestFinished(kill)
        return { origin: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`, kill }
      },
      pool: ({ origin }, connections) => {
        const pool = new Pool(origin, { connections, pipelining: 1 })
        onTestFinished(() => pool.destroy())
        return pool
      },
    },
    transcript,
  )
  return [...transcript]
}

async function onScript(steps: Steps): Promise<Transcript> {
  return play(1, async (world) => {
    const network = new ScriptedNetwork(world)
    const client = new SimulatedProcess('client')
    let servers = 0
    const transcript: Transcript = []
    await steps(
      {
        listen: async (handle) => {
          servers += 1
          const [origin, process] = [`http://server-${servers}`, new SimulatedProcess(`server ${servers}`)]
          network.listen(origin, process, handle)
          return {
            origin,
            kill: async () => {
              network.servers.delete(origin)
              for (const connection of network.connectionsOf(process)) connection.cut(0, 1)
            },
          }
        },
        pool: ({ origin }, connections) => new ScriptedPool(network, client, origin, connections).pool,
      },
      transcript,
    )
    return transcript
  })
}

interface Sent {
  /** Ends the request. */
  abort(): void
  over: boolean
  text: string
}

/** Sends a request; what comes back goes to the transcript. */
function send(pool: Pool, transcript: Transcript, name: string, path = '/topic'): Sent {
  let controller: Dispatcher.DispatchController | undefined
  let isAborted = false
  const sent: Sent = {
    over: false,
    text: '',
    abort: () => {
      isAborted = true
      controller?.abort(new Error('given up'))
    },
  }
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart: (started) => {
      controller = started
      if (isAborted) started.abort(new Error('given up'))
    },
    onResponseStart: (_, status, headers) => {
      transcript.push(`${name}: ${status} ${headers['content-type']} ${headers['x-own']}`)
    },
    onResponseData: (_, chunk) => {
      sent.text += chunk.toString()
    },
    onResponseEnd: () => {
      sent.over = true
      transcript.push(`${name}: ends with '${sent.text}'`)
    },
    onResponseError: (_, error) => {
      sent.over = true
      const { code = error.message } = error as Error & { readonly code?: string }
      transcript.push(`${name}: fails with '${sent.text}', ${code}`)
    },
  }
  pool.dispatch(
    { path, method: 'POST', headers: ['Content-Type', 'a/b', 'X-Own', 'header'], body: Buffer.from(`body of ${name}`) },
    handler,
  )
  return sent
}

function answer(reply: FastifyReply, status: number, text: string): void {
  reply.code(status).header('content-type', 'c/d').header('x-own', 'answer').send(Buffer.from(text))
}

const CONTRACTS: Readonly<Record<string, Steps>> = {
  'a request and its response: path, headers, bodies': async (bench, transcript) => {
    const receiver = await bench.listen((request, reply) => {
      const { url, headers, body } = request
      transcript.push(`received ${url} ${headers['content-type']} ${headers['x-own']} ${String(body)}`)
      answer(reply, 503, 'not now')
    })
    const sent = send(bench.pool(receiver, 1), transcript, 'one', '/base/topic?x=1')
    await until(() => sent.over)
  },
  'a response in parts arrives in parts': async (bench, transcript) => {
    let parts: FastifyReply['raw'] | undefined
    const receiver = await bench.listen((_request, reply) => {
      reply.hijack()
      parts = reply.raw
      parts.once('close', () => transcript.push('closed'))
      parts.writeHead(200, { 'content-type': 'c/d', 'x-own': 'answer' })
      parts.write('first, ')
    })
    const sent = send(bench.pool(receiver, 1), transcript, 'one')
    await until(() => sent.text === 'first, ')
    parts?.write('second, ')
    await until(() => sent.text === 'first, second, ')
    parts?.end('last')
    await until(() => sent.over && transcript.includes('closed'))
    transcript.push(`${parts?.destroyed} ${parts?.writableEnded} ${parts?.headersSent}`)
  },
  'where nobody listens, requests fail without having been sent': async (bench, transcript) => {
    const receiver = await bench.listen(() => {})
    await receiver.kill()
    const sent = send(bench.pool(receiver, 1), transcript, 'one')
    await until(() => sent.over)
  },
  'a receiver that is killed: requests without their whole response fail, whatever has arrived of it': async (
    bench,
    transcript,
  ) => {
    let received = 0
    const receiver = await bench.listen((request, reply) => {
      received += 1
      reply.hijack()
      if (request.url !== '/parts') return
      reply.raw.writeHead(200, { 'content-type': 'c/d', 'x-own': 'answer' })
      reply.raw.write('first')
    })
    const pool = bench.pool(receiver, 1)
    const parts = send(pool, transcript, 'parts', '/parts')
    await until(() => parts.text === 'first')
    const silent = send(bench.pool(receiver, 1), transcript, 'silent')
    await until(() => received === 2)
    await receiver.kill()
    await until(() => parts.over && silent.over)
    transcript.sort()
    const late = send(pool, transcript, 'late')
    await until(() => late.over)
  },
  'a receiver that drops one connection: its request fails, others go on': async (bench, transcript) => {
    const replies = new Map<string, FastifyReply>()
    const receiver = await bench.listen((request, reply) => {
      reply.hijack()
      replies.set(String(request.body), reply)
    })
    const pool = bench.pool(receiver, 2)
    const [one, two] = [send(pool, transcript, 'one'), send(pool, transcript, 'two')]
    await until(() => replies.size === 2)
    replies.get('body of one')?.raw.destroy()
    await until(() => one.over)
    replies.get('body of two')?.raw.writeHead(200, { 'content-type': 'c/d', 'x-own': 'answer' })
    replies.get('body of two')?.raw.end('done')
    await until(() => one.over && two.over)
  },
  'a request that the sender gives up: the receiver learns of it, and its answer gets lost': async (
    bench,
    transcript,
  ) => {
    let left: FastifyReply | undefined
    const receiver = await bench.listen((request, reply) => {
      if (request.url === '/next') return answer(reply, 200, 'next')
      left = reply
      reply.raw.once('close', () => transcript.push(`closed, destroyed: ${reply.raw.destroyed}`))
    })
    const pool = bench.pool(receiver, 1)
    const sent = send(pool, transcript, 'one')
    await until(() => left !== undefined)
    sent.abort()
    transcript.push('aborted')
    await until(() => transcript.length === 3)
    answer(left as FastifyReply, 200, 'late')
    const next = send(pool, transcript, 'two', '/next')
    await until(() => next.over)
  },
  'no more requests at a time than connections: the next one starts when one is over, in order': async (
    bench,
    transcript,
  ) => {
    const replies: FastifyReply[] = []
    const receiver = await bench.listen((request, reply) => {
      transcript.push(`received ${String(request.body)}`)
      replies.push(reply)
    })
    const pool = bench.pool(receiver, 1)
    const sent = ['one', 'two', 'three', 'four'].map((name) => send(pool, transcript, name))
    await until(() => replies.length === 1)
    answer(replies[0] as FastifyReply, 200, 'first')
    await until(() => replies.length === 2)
    // One that waits for a connection is not sent any more once it is given up.
    sent[2]?.abort()
    sent[1]?.abort()
    await until(() => replies.length === 3)
    answer(replies[2] as FastifyReply, 200, 'last')
    await until(() => sent.every(({ over }) => over))
  },
}

describe('the scripted network does as the real one', () => {
  test.each(Object.entries(CONTRACTS))('%s', async (_, steps) => {
    const [real, scripted] = [await onNetwork(steps), await onScript(steps)]
    expect(real.length).toBeGreaterThan(0)
    expect(scripted).toEqual(real)
  })
})
