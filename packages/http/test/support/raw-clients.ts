import { connect, type Socket } from 'node:net'

/** A TCP client that keeps its side open whatever the server says, and doesn't come back unless it is told to. */
export class RawClient {
  readonly socket: Socket
  received = ''
  #closed = false

  private constructor(socket: Socket, reads: boolean) {
    this.socket = socket
    if (reads) {
      socket.on('data', (data) => {
        this.received += data.toString('latin1')
      })
    }
    socket.on('error', () => {})
    const closed = (): void => {
      this.#closed = true
    }
    socket.on('end', closed).on('close', closed)
  }

  /** `reads: false`: it takes nothing that the server sends. */
  static async connect(port: number, bytes: string | Buffer = '', { reads = true } = {}): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    const client = new RawClient(socket, reads)
    await new Promise<void>((resolve) => socket.once('connect', resolve).once('close', () => resolve()))
    if (bytes.length > 0) socket.write(bytes)
    return client
  }

  /** The server has closed the connection, or reset it. */
  get closed(): boolean {
    return this.#closed
  }
}

/** Many of them. They are gone with this object. */
export class RawClients implements Disposable {
  readonly all: RawClient[] = []
  readonly #port: number
  #stopped = false

  constructor(port: number) {
    this.#port = port
  }

  async connect(count: number, bytes: string | Buffer = '', options: { readonly reads?: boolean } = {}): Promise<void> {
    this.all.push(
      ...(await Promise.all(Array.from({ length: count }, () => RawClient.connect(this.#port, bytes, options)))),
    )
  }

  /** Connects as often as the server closes, until the end of this object. */
  async flood(count: number, bytes: string | Buffer = ''): Promise<void> {
    const again = async (): Promise<void> => {
      const client = await RawClient.connect(this.#port, bytes)
      this.all.push(client)
      client.socket.once('end', () => client.socket.destroy())
      client.socket.once('close', () => {
        this.all.splice(this.all.indexOf(client), 1)
        if (!this.#stopped) setTimeout(() => void again(), 1)
      })
      if (this.#stopped) client.socket.destroy()
    }
    await Promise.all(Array.from({ length: count }, again))
  }

  [Symbol.dispose](): void {
    this.#stopped = true
    for (const { socket } of [...this.all]) socket.destroy()
  }
}
