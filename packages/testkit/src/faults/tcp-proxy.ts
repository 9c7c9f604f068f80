import { connect, createServer, type Server, type Socket } from 'node:net'
import { findFreePort } from '../brokers/ports.js'
import type { FramedProtocol } from './delivery-filter.js'
import { ProxyConnection } from './proxy-connection.js'
import type { Direction } from './proxy-pipe.js'

export type { Direction } from './proxy-pipe.js'

/** Where a proxy listens, and the server behind it. */
export interface TcpProxyOptions {
  /** Port of the server. */
  readonly port: number
  /** Host of the server; default 127.0.0.1. */
  readonly host?: string
  /** Port of the proxy on 127.0.0.1. Default: a free port. */
  readonly listenPort?: number
  /** The unencrypted protocol on it: needed only by {@link TcpProxy.deafen}. */
  readonly protocol?: FramedProtocol
}

/** Which connections a fault affects: the present ones, or new ones as well until `heal`. */
export type Reach = 'present' | 'all'

interface PendingReset {
  readonly direction: Direction
  left: number
  readonly hit: () => void
}

/**
 * A TCP proxy that simulates network faults. By default it forwards everything, half-closes included. Faults
 * accumulate, until {@link TcpProxy.heal}.
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

  /** Bytes forwarded so far. */
  get carried(): Readonly<Record<Direction, number>> {
    return this.#carried
  }

  /** Chunks in which they arrived: about one for each call that is made alone. */
  get packets(): Readonly<Record<Direction, number>> {
    return this.#packets
  }

  /** Resets (RST) every present connection on both sides; new ones are accepted. Returns how many there were. */
  cut(): number {
    const present = [...this.#connections]
    for (const connection of present) connection.reset()
    return present.length
  }

  /** Resets new connections immediately, until `heal`. */
  refuse(): void {
    this.#refusing = true
  }

  /**
   * Sends an end (FIN) in one direction of every present connection, once; the other direction continues. Returns how
   * many.
   */
  halfClose(direction: Direction): number {
    for (const connection of this.#connections) connection.finish(direction)
    return this.#connections.size
  }

  /**
   * Forwards nothing any more: no bytes, no end. Both ends keep a connection that is dead, as when a cable is pulled or
   * a router forgets it. What is sent meanwhile is held back, as TCP would, and forwarded after `heal` if both ends
   * still wait. Returns how many connections it affects.
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
   * Drops what the server delivers to the subscriptions of present connections that have received something so far, and
   * nothing else: heartbeats, confirms and answers are forwarded, and both ends see a healthy connection. New
   * subscriptions are served, except that Kafka has none: there it is all fetches of the connection. Returns how many
   * connections there are. Throws when `protocol` wasn't given.
   */
  deafen(): number {
    if (this.#protocol === undefined) throw new Error('a proxy can swallow deliveries only when it knows the protocol')
    for (const connection of this.#connections) connection.deafen()
    return this.#connections.size
  }

  /** Bytes of deliveries dropped so far. */
  get swallowed(): number {
    return [...this.#connections].reduce((sum, { swallowed }) => sum + swallowed, this.#swallowed)
  }

  /** Delays everything by this many milliseconds, in both directions. */
  delay(delayMs: number): void {
    this.#delayMs = delayMs
  }

  /** A slow link: this many bytes per second and direction of each connection, in small chunks. */
  trickle(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond
  }

  /**
   * Resets the connection that carries the next this many bytes of a direction, all connections counted together, right
   * behind them: in the middle of any frame. Resolves when that has happened.
   */
  resetAfter(direction: Direction, bytes: number): Promise<void> {
    return new Promise((resolve) => {
      this.#pendingReset = { direction, left: bytes, hit: resolve }
    })
  }

  /** Ends all faults. */
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
