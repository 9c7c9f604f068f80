import { connect, createServer, type Server, type Socket } from 'node:net'
import { findFreePort } from '../brokers/ports.js'
import type { FramedProtocol } from './delivery-filter.js'
import { ProxyConnection } from './proxy-connection.js'
import type { Direction } from './proxy-pipe.js'

export type { Direction } from './proxy-pipe.js'

/** Where a proxy listens and whom it stands before. */
export interface TcpProxyOptions {
  /** Port of the server. */
  readonly port: number
  /** Host of the server; default 127.0.0.1. */
  readonly host?: string
  /** Where the proxy listens on 127.0.0.1. Default: a free port. */
  readonly listenPort?: number
  /** What is spoken there, unencrypted: needed by {@link TcpProxy.deafen} alone. */
  readonly protocol?: FramedProtocol
}

/** Which connections a fault meets: those that exist, or new ones as well until `heal`. */
export type Reach = 'present' | 'all'

interface PendingReset {
  readonly direction: Direction
  left: number
  readonly hit: () => void
}

/**
 * A TCP proxy that does to connections what networks do to them. Until told otherwise it passes everything on, half-closes
 * included. Faults add up, until {@link TcpProxy.heal}.
 */
export class TcpProxy implements AsyncDisposable {
  readonly port: number
  readonly #target: { readonly host: string; readonly port: number }
  readonly #protocol: FramedProtocol | undefined
  readonly #server: Server
  readonly #connections = new Set<ProxyConnection>()
  #refusing = false
  readonly #silent = new Set<Direction>()
  #pendingReset: PendingReset | undefined
  #delayMs = 0
  #bytesPerSecond: number | undefined
  #accepted = 0
  #swallowed = 0
  readonly #carried: Record<Direction, number> = { 'to-server': 0, 'to-client': 0 }
  readonly #packets: Record<Direction, number> = { 'to-server': 0, 'to-client': 0 }

  private constructor(port: number, options: TcpProxyOptions) {
    this.port = port
    this.#target = { host: options.host ?? '127.0.0.1', port: options.port }
    this.#protocol = options.protocol
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => this.#accept(client))
  }

  /** Listens. Rejects with the error of the listening socket when the port is taken. The server need not run yet. */
  static async start(options: TcpProxyOptions): Promise<TcpProxy> {
    const proxy = new TcpProxy(options.listenPort ?? (await findFreePort()), options)
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject)
      proxy.#server.listen({ port: proxy.port, host: '127.0.0.1', exclusive: true }, resolve)
    })
    return proxy
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#connections.size
  }

  /** Connections accepted so far, refused ones not counted. */
  get accepted(): number {
    return this.#accepted
  }

  /** Bytes passed on so far. */
  get carried(): Readonly<Record<Direction, number>> {
    return this.#carried
  }

  /** Pieces in which it came so far: about one for each call that is made alone. */
  get packets(): Readonly<Record<Direction, number>> {
    return this.#packets
  }

  /** Resets (RST) every present connection on both sides; new ones are taken. Returns how many there were. */
  cut(): number {
    const present = [...this.#connections]
    for (const connection of present) connection.reset()
    return present.length
  }

  /** Resets new connections as soon as they are made, until `heal`. */
  refuse(): void {
    this.#refusing = true
  }

  /** Sends an end (FIN) in one direction of every present connection, once; the other direction goes on. Returns how many. */
  halfClose(direction: Direction): number {
    for (const connection of this.#connections) connection.finish(direction)
    return this.#connections.size
  }

  /**
   * Lets nothing pass any more: no bytes, no end. Both ends believe in a connection that is dead, as when a cable is pulled or a
   * router forgets it. What is sent meanwhile is kept back, as TCP would, and passes after `heal` where both ends still wait.
   * Returns how many connections it meets.
   */
  silence(direction: Direction | 'both', reach: Reach = 'present'): number {
    const directions: readonly Direction[] = direction === 'both' ? ['to-server', 'to-client'] : [direction]
    for (const one of directions) {
      for (const connection of this.#connections) connection.silenceFrom(one)
      if (reach === 'all') this.#silent.add(one)
    }
    return this.#connections.size
  }

  /**
   * Swallows what the server delivers to the subscriptions of present connections that have got something so far, and nothing else:
   * heartbeats, confirms and answers go on, and both ends believe that all is well. New subscriptions are served, except that Kafka
   * has none: there it is all fetches of the connection. Returns how many connections there are. Throws where `protocol` wasn't given.
   */
  deafen(): number {
    if (this.#protocol === undefined) throw new Error('a proxy can swallow deliveries only when it knows the protocol')
    for (const connection of this.#connections) connection.deafen()
    return this.#connections.size
  }

  /** Bytes of deliveries that were swallowed so far. */
  get swallowed(): number {
    return [...this.#connections].reduce((sum, { swallowed }) => sum + swallowed, this.#swallowed)
  }

  /** Everything takes so many milliseconds longer, in both directions. */
  delay(delayMs: number): void {
    this.#delayMs = delayMs
  }

  /** A slow link: so many bytes per second and direction of each connection, in small pieces. */
  trickle(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond
  }

  /**
   * Resets the connection that carries the next so many bytes of a direction, all connections counted together, right behind
   * them: in the middle of whatever stands there. Resolves when that has happened.
   */
  resetAfter(direction: Direction, bytes: number): Promise<void> {
    return new Promise((resolve) => {
      this.#pendingReset = { direction, left: bytes, hit: resolve }
    })
  }

  /** Ends every fault that goes on. */
  heal(): void {
    this.#refusing = false
    this.#silent.clear()
    this.#delayMs = 0
    this.#bytesPerSecond = undefined
    this.#pendingReset = undefined
    for (const connection of this.#connections) connection.endSilence()
  }

  /** Resets all connections and stops listening. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.cut()
    await closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #accept(client: Socket): void {
    client.on('error', () => {})
    if (this.#refusing) return void client.resetAndDestroy()
    this.#accepted += 1
    const server = connect({ ...this.#target, allowHalfOpen: true })
    const proxy = this
    const connection = new ProxyConnection(client, server, {
      get delayMs() {
        return proxy.#delayMs
      },
      get bytesPerSecond() {
        return proxy.#bytesPerSecond
      },
      protocol: this.#protocol,
      passing: (direction, bytes) => this.#passing(direction, bytes),
      passed: (direction, bytes) => this.#passed(direction, bytes),
      ended: (one) => {
        this.#connections.delete(one)
        this.#swallowed += one.swallowed
      },
    })
    this.#connections.add(connection)
    for (const direction of this.#silent) connection.silenceFrom(direction)
    client.resume()
  }

  #passing(direction: Direction, bytes: number): number {
    const reset = this.#pendingReset
    return reset === undefined || reset.direction !== direction ? bytes : Math.min(bytes, reset.left)
  }

  #passed(direction: Direction, bytes: number): boolean {
    this.#carried[direction] += bytes
    this.#packets[direction] += 1
    const reset = this.#pendingReset
    if (reset === undefined || reset.direction !== direction) return false
    reset.left -= bytes
    if (reset.left > 0) return false
    this.#pendingReset = undefined
    reset.hit()
    return true
  }
}
