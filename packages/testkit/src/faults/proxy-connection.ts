import type { Socket } from 'node:net'
import { DeliveryFilter, type FramedProtocol } from './delivery-filter.js'
import { type Direction, type PipeRules, ProxyPipe } from './proxy-pipe.js'

/** What a connection asks of its proxy. */
export interface ConnectionOwner {
  readonly delayMs: number
  readonly bytesPerSecond: number | undefined
  /** What is spoken on it, where deliveries are to be told from the rest. */
  readonly protocol: FramedProtocol | undefined
  /** How many of so many bytes may pass before the reset that is due. */
  passing(direction: Direction, bytes: number): number
  passed(direction: Direction, bytes: number): boolean
  ended(connection: ProxyConnection): void
}

/** One client's connection through the proxy, and the one to the server that belongs to it. */
export class ProxyConnection implements PipeRules {
  readonly #owner: ConnectionOwner
  readonly #client: Socket
  readonly #server: Socket
  readonly #pipes: Readonly<Record<Direction, ProxyPipe>>
  readonly #silences = new Map<Direction, { readonly over: Promise<void>; readonly end: () => void }>()
  readonly #filter: DeliveryFilter | undefined
  #open = 2

  constructor(client: Socket, server: Socket, owner: ConnectionOwner) {
    this.#owner = owner
    this.#client = client
    this.#server = server
    this.#filter = owner.protocol === undefined ? undefined : new DeliveryFilter(owner.protocol)
    this.#pipes = {
      'to-server': new ProxyPipe('to-server', client, server, this),
      'to-client': new ProxyPipe('to-client', server, client, this),
    }
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      socket.once('close', () => this.#closed())
    }
  }

  get delayMs(): number {
    return this.#owner.delayMs
  }

  get bytesPerSecond(): number | undefined {
    return this.#owner.bytesPerSecond
  }

  /** Bytes of deliveries that were swallowed. */
  get swallowed(): number {
    return this.#filter?.swallowed ?? 0
  }

  /** Swallows deliveries from now on. */
  deafen(): void {
    this.#filter?.deafen()
  }

  sift(direction: Direction, bytes: Buffer): Buffer {
    return this.#filter?.sift(direction, bytes) ?? bytes
  }

  silence(direction: Direction): Promise<void> | undefined {
    return this.#silences.get(direction)?.over
  }

  passing(direction: Direction, bytes: number): number {
    return this.#owner.passing(direction, bytes)
  }

  passed(direction: Direction, bytes: number): boolean {
    return this.#owner.passed(direction, bytes)
  }

  /** Nothing passes in this direction any more, the end of the connection neither. What comes meanwhile is kept back, not lost. */
  silenceFrom(direction: Direction): void {
    if (this.#silences.has(direction)) return
    let end: () => void = () => {}
    const over = new Promise<void>((resolve) => {
      end = resolve
    })
    this.#silences.set(direction, { over, end })
  }

  /** Lets pass again what was kept back. */
  endSilence(): void {
    const silences = [...this.#silences.values()]
    this.#silences.clear()
    for (const { end } of silences) end()
  }

  finish(direction: Direction): void {
    this.#pipes[direction].finish()
  }

  /** Both sides get a reset (RST). */
  reset(): void {
    for (const pipe of Object.values(this.#pipes)) pipe.stop()
    this.#client.resetAndDestroy()
    this.#server.resetAndDestroy()
    this.endSilence()
  }

  #closed(): void {
    this.#open -= 1
    if (this.#open === 0) {
      for (const pipe of Object.values(this.#pipes)) pipe.stop()
      this.#owner.ended(this)
    }
  }
}
