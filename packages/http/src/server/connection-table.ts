import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Maximum number of requests of one connection without their whole response, as pipelining creates them. */
const MAX_PIPELINED = 64

/** One connection of a client, from its acceptance on: with TLS, from before its handshake. */
interface Connection {
  readonly name: string
  /** What is destroyed. */
  readonly socket: Socket
  /** Requests whose headers have arrived, by the responses that aren't sent completely. */
  readonly requests: Map<ServerResponse, IncomingMessage>
  /** It takes no other request and ends with the last response that it owes. */
  ending: boolean
}

/**
 * The connections of a server, with what each is doing. Holds them to a maximum: a new one beyond it takes the place of the one that
 * has been without a request for longest, else of the oldest one whose request hasn't arrived completely, else of the oldest one
 * whose client doesn't read its response. Where all connections wait for handlers, the new one is refused.
 */
export class ConnectionTable {
  readonly #max: number
  readonly #connections = new Map<string, Connection>()
  /** Of the sockets that requests name: with TLS, those within `Connection.socket`. */
  readonly #bySocket = new WeakMap<Socket, Connection>()
  /** Without a request, the one that has been so for longest first. */
  readonly #idle = new Set<Connection>()

  constructor(max: number) {
    this.#max = max
  }

  /** Follows a server's connections from now on. */
  watch(server: Server): void {
    // After the listeners of Node.js: whatever they have attached to the socket closes with it.
    server.on('connection', (socket) => this.#opened(socket))
  }

  /** Notes a request. False where the request gets no answer: its connection is ending, or has had too many at once and is destroyed. */
  admits(request: IncomingMessage, response: ServerResponse): boolean {
    const connection = this.#of(request.socket)
    // Destroyed a moment ago, within the same piece of data.
    if (connection === undefined || connection.socket.destroyed) return false
    // Its client may send it again on another one.
    if (connection.ending) return false
    if (connection.requests.size >= MAX_PIPELINED) {
      connection.socket.destroy()
      return false
    }
    connection.requests.set(response, request)
    this.#idle.delete(connection)
    response.once('close', () => {
      connection.requests.delete(response)
      const isOpen = this.#connections.get(connection.name) === connection
      if (connection.requests.size > 0) return
      if (connection.ending) connection.socket.destroySoon()
      else if (isOpen) this.#idle.add(connection)
    })
    return true
  }

  /** Ends every connection: those that wait for responses once they have them, the others at once. Clients connect again. */
  replaceAll(): void {
    for (const connection of [...this.#connections.values()]) {
      connection.ending = true
      if (connection.requests.size === 0) connection.socket.destroy()
      for (const response of connection.requests.keys())
        if (!response.headersSent) response.setHeader('connection', 'close')
    }
  }

  /** Whether a response is owed on this socket, or part of one is written: anything else that is written would be taken for it. */
  isAnswering(socket: Socket): boolean {
    for (const [response, request] of this.#of(socket)?.requests ?? [])
      if (request.complete || response.headersSent) return true
    return false
  }

  #opened(socket: Socket): void {
    // Gone already.
    if (socket.destroyed || socket.remotePort === undefined) return
    if (this.#connections.size >= this.#max) {
      const dropped = this.#leastBusy()
      if (dropped === undefined) return void socket.destroy()
      // Its `close` comes in a later turn of the event loop, and others may connect before that.
      this.#forget(dropped)
      dropped.socket.destroy()
    }
    const connection: Connection = { name: nameOf(socket), socket, requests: new Map(), ending: false }
    this.#connections.set(connection.name, connection)
    this.#bySocket.set(socket, connection)
    this.#idle.add(connection)
    socket.once('close', () => this.#forget(connection))
  }

  #leastBusy(): Connection | undefined {
    for (const connection of this.#idle) return connection
    let unread: Connection | undefined
    for (const connection of this.#connections.values()) {
      const pairs = [...connection.requests]
      if (pairs.every(([, request]) => !request.complete)) return connection
      if (pairs.every(([response]) => response.writableEnded)) unread ??= connection
    }
    return unread
  }

  #forget(connection: Connection): void {
    this.#idle.delete(connection)
    if (this.#connections.get(connection.name) === connection) this.#connections.delete(connection.name)
  }

  #of(socket: Socket): Connection | undefined {
    const known = this.#bySocket.get(socket)
    if (known !== undefined) return known
    const connection = this.#connections.get(nameOf(socket))
    if (connection !== undefined) this.#bySocket.set(socket, connection)
    return connection
  }
}

function nameOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}
