import { connect, type TLSSocket } from 'node:tls'

export interface TlsClientOptions {
  readonly port: number
  readonly ca: Buffer
  readonly cert?: Buffer
  readonly key?: Buffer
  readonly version?: 'TLSv1.2' | 'TLSv1.3'
  /** Of an earlier connection. */
  readonly session?: Buffer
}

const REQUEST =
  'POST /orders/billing HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n1'

/** One TLS connection with its own session: what undici would hide. */
export class TlsClient implements Disposable {
  readonly socket: TLSSocket
  /** Sessions that the server has given, the latest last. */
  readonly sessions: Buffer[] = []
  #received = ''

  private constructor(socket: TLSSocket) {
    this.socket = socket
    socket.on('session', (session) => this.sessions.push(session))
    socket.on('data', (data) => {
      this.#received += data.toString('latin1')
    })
    socket.on('error', () => {})
  }

  /** Resolves when the handshake is over as far as the client knows. */
  static async connect({ port, ca, cert, key, version = 'TLSv1.3', session }: TlsClientOptions): Promise<TlsClient> {
    const socket = connect({
      host: '127.0.0.1',
      port,
      ca,
      minVersion: version,
      maxVersion: version,
      ...(cert === undefined ? {} : { cert, key }),
      ...(session === undefined ? {} : { session }),
    })
    const client = new TlsClient(socket)
    await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
    return client
  }

  /** Sends one message; resolves with the response's status, or with `cut` when the connection ended without one. */
  async post(): Promise<string> {
    this.#received = ''
    this.socket.write(REQUEST)
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (this.#received.includes('\r\n\r\n') || this.socket.destroyed) resolve()
      }
      this.socket.on('data', look).once('close', look)
      look()
    })
    return /^HTTP\/1\.1 (\d{3})/.exec(this.#received)?.[1] ?? 'cut'
  }

  /** Asks for a renegotiation, as TLS 1.2 has it. Resolves when it is done, or when the connection is closed. */
  renegotiate(): Promise<void> {
    return new Promise((resolve) => {
      if (this.socket.destroyed) return resolve()
      this.socket.once('close', () => resolve())
      this.socket.renegotiate({}, () => resolve())
    })
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}
