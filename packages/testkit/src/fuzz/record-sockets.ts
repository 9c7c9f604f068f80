import { Socket } from 'node:net'

type Push = (this: Socket, chunk: unknown, encoding?: BufferEncoding) => boolean

/** What the sockets of this process receive: real bytes for the corpus of a target. */
export class SocketRecorder {
  readonly #streams = new Map<Socket, { readonly ports: readonly unknown[]; readonly parts: Buffer[] }>()
  readonly #push = Socket.prototype.push as Push

  start(): void {
    const [push, streams] = [this.#push, this.#streams]
    Socket.prototype.push = function (this: Socket, chunk: unknown, encoding?: BufferEncoding): boolean {
      if (Buffer.isBuffer(chunk)) {
        const stream = streams.get(this) ?? { ports: [this.remotePort, this.localPort], parts: [] }
        stream.parts.push(Buffer.from(chunk))
        streams.set(this, stream)
      }
      return push.call(this, chunk, encoding)
    }
  }

  stop(): void {
    Socket.prototype.push = this.#push
  }

  /** Per socket, all that it received. @param port - the one on the other side, or where it was accepted. */
  streams(port: number): Buffer[] {
    return [...this.#streams.values()]
      .filter(({ ports }) => ports.includes(port))
      .map(({ parts }) => Buffer.concat(parts))
  }
}
