import { Pipe, type SimulatedProcess, type World } from '@streamswitch/testkit/simulation'
import { Failure, type Reply, Status } from './replies.js'
import type { ScriptedBroker, ScriptedSession } from './scripted-broker.js'

/** How long ioredis waits for the other end of a connection that it has closed, in milliseconds. */
const DISCONNECT_MS = 2_000

interface PendingCommand {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  readonly deadline: number
}

interface ClientSettings {
  readonly broker: ScriptedBroker
  readonly process: SimulatedProcess
  /** As `commandTimeout` of ioredis, in milliseconds. */
  readonly timeoutMs: number
}

/** One connection as ioredis has it, as far as the transport uses it, and the network below it. */
export class ScriptedClient {
  /** Of a socket. */
  readonly stream = { bytesRead: 0, cork(): void {}, uncork(): void {} }
  readonly process: SimulatedProcess
  readonly session: ScriptedSession
  readonly #world: World
  readonly #timeoutMs: number
  readonly #toServer: Pipe
  readonly #toClient: Pipe
  readonly #pending: PendingCommand[] = []
  readonly #errorListeners: ((error: Error) => void)[] = []
  readonly #endListeners: (() => void)[] = []
  #state: 'ready' | 'closing' | 'end' = 'ready'
  #isCut = false
  #stalledUntil = 0
  #timer: NodeJS.Timeout | undefined

  constructor({ broker, process, timeoutMs }: ClientSettings) {
    const { world } = broker
    this.process = process
    this.#world = world
    this.#timeoutMs = timeoutMs
    const latency = (): number => world.latency(process) + Math.max(0, this.#stalledUntil - world.now)
    this.#toServer = new Pipe(world, world.broker, latency)
    this.#toClient = new Pipe(world, process, latency)
    this.session = broker.accept(process)
  }

  /** What is sent arrives, and is answered. */
  get usable(): boolean {
    return this.#state === 'ready' && !this.#isCut && this.#world.now >= this.#stalledUntil && this.session.open
  }

  /** The transport hasn't given it up. */
  get inUse(): boolean {
    return this.#state === 'ready'
  }

  get ended(): boolean {
    return this.#state === 'end'
  }

  // What the transport uses of ioredis.

  callBuffer(name: string, args: readonly (string | Buffer | number)[] = []): Promise<unknown> {
    if (this.#state === 'end') return Promise.reject(new Error('Connection is closed.'))
    if (this.#state === 'closing')
      return Promise.reject(new Error("Stream isn't writeable and enableOfflineQueue options is false"))
    const command = [name, ...args.map(String)]
    return new Promise((resolve, reject) => {
      this.#pending.push({ resolve, reject, deadline: this.#world.now + this.#timeoutMs })
      this.#timer ??= setTimeout(() => this.#checkDeadline(), this.#timeoutMs)
      if (this.#isCut) return
      this.#toServer.request(() =>
        this.session.receive(command, (reply, delivered) =>
          this.#toClient.answer(() => {
            delivered?.()
            this.#answered(reply)
          }),
        ),
      )
    })
  }

  on(event: 'error', listener: (error: Error) => void): void {
    if (event === 'error') this.#errorListeners.push(listener)
  }

  once(event: 'end', listener: () => void): void {
    if (event === 'end') this.#endListeners.push(listener)
  }

  disconnect(): void {
    if (this.#state !== 'ready') return
    this.#state = 'closing'
    setTimeout(() => this.#end(), DISCONNECT_MS)
    if (this.#isCut) return
    this.#toServer.send(() => {
      this.session.close()
      this.#toClient.send(() => this.#end())
    })
  }

  // The network.

  /**
   * Nothing is answered any more. The server learns of it after so many milliseconds, the client too: never, where it must find out by itself.
   *
   * @param requestsArrive - what is on its way to the server is still carried out.
   */
  cut(serverAfterMs: number, clientAfterMs: number | undefined, requestsArrive: boolean): void {
    const { clock, broker } = this.#world
    this.#isCut = true
    if (this.#state === 'ready') this.#world.count('cut connection')
    if (!requestsArrive) this.#toServer.cut()
    this.#toClient.cut()
    clock.schedule(serverAfterMs, broker, () => this.session.close())
    if (clientAfterMs === undefined) return
    clock.schedule(clientAfterMs, this.process, () => {
      for (const listener of this.#errorListeners) listener(new Error('read ECONNRESET'))
      this.#end()
    })
  }

  /** What is sent for so long, in both directions, arrives when that is over, also if the client has given up before. */
  stall(ms: number): void {
    this.#stalledUntil = Math.max(this.#stalledUntil, this.#world.now + ms)
  }

  // The client's end.

  #answered(reply: Reply): void {
    if (this.#state === 'end') return
    const command = this.#pending.shift()
    if (reply instanceof Failure) command?.reject(errorOf(reply))
    else command?.resolve(this.#bytesOf(reply))
  }

  #bytesOf(reply: Reply): unknown {
    if (reply === null || typeof reply === 'number') return reply
    if (reply instanceof Failure) return errorOf(reply)
    if (typeof reply === 'string' || reply instanceof Status) {
      const text = typeof reply === 'string' ? reply : reply.text
      this.stream.bytesRead += text.length
      return Buffer.from(text, 'latin1')
    }
    return reply.map((one) => this.#bytesOf(one))
  }

  #checkDeadline(): void {
    this.#timer = undefined
    const [first] = this.#pending
    if (this.#state === 'end' || first === undefined) return
    if (first.deadline <= this.#world.now) first.reject(new Error('Command timed out'))
    const next = this.#pending.find(({ deadline }) => deadline > this.#world.now)
    if (next !== undefined) this.#timer = setTimeout(() => this.#checkDeadline(), next.deadline - this.#world.now)
  }

  #end(): void {
    if (this.#state === 'end') return
    this.#state = 'end'
    clearTimeout(this.#timer)
    for (const { reject } of this.#pending.splice(0)) reject(new Error('Connection is closed.'))
    for (const listener of this.#endListeners) listener()
  }
}

/** Without a stack: there are many, and nobody looks. */
function errorOf({ text }: Failure): Error {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  const error = Object.assign(new Error(text), { name: 'ReplyError' })
  Error.stackTraceLimit = stackTraceLimit
  return error
}
