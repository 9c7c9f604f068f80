import { EventEmitter } from 'node:events'
import { Pipe, type SimulatedProcess, type World } from '@streamswitch/testkit/simulation'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** A request as the client writes it. */
export interface ScriptedRequest {
  readonly path: string
  /** Names and values by turns. */
  readonly headers: readonly string[]
  readonly body: Buffer
}

/** What the client is sent. */
export interface ResponseEvents {
  start(status: number, headers: Readonly<Record<string, string>>): void
  data(chunk: Buffer): void
  end(): void
  /** The connection is gone. `code`: as of a system error, or undici's. */
  failed(code: string): void
}

/** What takes the requests of a server. */
export type RequestHandler = (request: FastifyRequest, reply: FastifyReply) => void

interface ListeningServer {
  readonly process: SimulatedProcess
  readonly handle: RequestHandler
}

/** The network between senders and receivers: who listens where, and the connections. */
export class ScriptedNetwork {
  readonly world: World
  readonly servers = new Map<string, ListeningServer>()
  readonly connections = new Set<ScriptedConnection>()
  #downUntil = 0

  constructor(world: World) {
    this.world = world
  }

  get down(): boolean {
    return this.world.now < this.#downUntil
  }

  /** Listens at an origin. Throws where another process does. */
  listen(origin: string, process: SimulatedProcess, handle: RequestHandler): void {
    if (this.servers.has(origin)) throw Object.assign(new Error('listen EADDRINUSE'), { code: 'EADDRINUSE' })
    this.servers.set(origin, { process, handle })
  }

  /** Nothing travels for so long. */
  interrupt(ms: number): void {
    this.#downUntil = this.world.now + ms
    for (const connection of [...this.connections]) connection.cut(this.world.random.next() * 50, 0)
  }

  connectionsOf(process: SimulatedProcess): readonly ScriptedConnection[] {
    return [...this.connections].filter(({ server }) => server === process)
  }
}

/** One request on a connection of its own, both of its ends. */
export class ScriptedConnection {
  readonly server: SimulatedProcess
  readonly #network: ScriptedNetwork
  readonly #client: SimulatedProcess
  readonly #toServer: Pipe
  readonly #toClient: Pipe
  readonly #events: ResponseEvents
  readonly #response: ScriptedResponse
  #over = false

  constructor(
    network: ScriptedNetwork,
    client: SimulatedProcess,
    { process, handle }: ListeningServer,
    request: ScriptedRequest,
    events: ResponseEvents,
  ) {
    const { world } = network
    this.server = process
    this.#network = network
    this.#client = client
    this.#toServer = new Pipe(world, process, () => world.latency(process))
    this.#toClient = new Pipe(world, client, () => world.latency(process))
    this.#events = events
    this.#response = new ScriptedResponse(
      (frame) => this.#toClient.answer(() => frame(events)),
      () => this.#finished(),
      () => this.cut(0, 0),
    )
    network.connections.add(this)
    this.#toServer.request(() => handle(requestOf(request), replyOf(this.#response)))
  }

  /** Nothing travels any more; each end learns of it after so many milliseconds. */
  cut(serverAfterMs: number, clientAfterMs: number): void {
    const { world } = this.#network
    const { clock } = world
    if (!this.#over) world.count('cut connection')
    this.#toServer.cut()
    this.#toClient.cut()
    clock.schedule(serverAfterMs, this.server, () => this.#response.close())
    clock.schedule(clientAfterMs, this.#client, () => this.#fail('UND_ERR_SOCKET'))
  }

  /** The client gives it up: the server learns of it as of its end. */
  abandon(): void {
    if (this.#over) return
    this.#end()
    this.#toClient.cut()
    this.#toServer.send(() => this.#response.close())
  }

  #finished(): void {
    this.#toClient.send(() => this.#end())
  }

  #fail(code: string): void {
    if (this.#over) return
    this.#end()
    this.#events.failed(code)
  }

  #end(): void {
    this.#over = true
    this.#network.connections.delete(this)
  }
}

/** Stands for Node.js's response. */
class ScriptedResponse extends EventEmitter {
  destroyed = false
  headersSent = false
  writableEnded = false
  readonly #send: (frame: (events: ResponseEvents) => void) => void
  readonly #finished: () => void
  readonly #reset: () => void

  constructor(send: (frame: (events: ResponseEvents) => void) => void, finished: () => void, reset: () => void) {
    super()
    this.#send = send
    this.#finished = finished
    this.#reset = reset
  }

  writeHead(status: number, headers: Readonly<Record<string, string | number>>): this {
    this.headersSent = true
    const texts = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
    this.#send((events) => events.start(status, texts))
    return this
  }

  write(text: string | Buffer): boolean {
    const chunk = Buffer.from(text)
    this.#send((events) => events.data(chunk))
    return true
  }

  end(text: string | Buffer = ''): void {
    if (this.destroyed || this.writableEnded) return
    if (text.length > 0) this.write(text)
    this.writableEnded = true
    this.#send((events) => events.end())
    this.#finished()
    this.close()
  }

  destroy(): void {
    if (!this.destroyed) this.#reset()
  }

  /** The response is complete, or its connection is gone. */
  close(): void {
    if (this.destroyed) return
    this.destroyed = true
    this.emit('close')
  }
}

function requestOf({ path, headers, body }: ScriptedRequest): FastifyRequest {
  const named: Record<string, string> = {}
  for (let index = 0; index < headers.length; index += 2)
    named[(headers[index] as string).toLowerCase()] = headers[index + 1] as string
  return { url: path, headers: named, body, raw: { socket: {} } } as unknown as FastifyRequest
}

function replyOf(raw: ScriptedResponse): FastifyReply {
  const headers: Record<string, string> = {}
  let status = 200
  const reply = {
    raw,
    code: (code: number) => {
      status = code
      return reply
    },
    header: (name: string, value: string) => {
      headers[name] = value
      return reply
    },
    hijack: () => reply,
    send: (body?: Buffer) => {
      if (raw.destroyed) return reply
      raw.writeHead(status, headers)
      raw.end(body ?? '')
      return reply
    },
  }
  return reply as unknown as FastifyReply
}
