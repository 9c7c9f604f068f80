import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

/** Counts what clients call on a Redis server, by MONITOR; what scripts call in turn isn't counted. */
export class RedisCalls {
  readonly #url: URL
  #socket: Socket | undefined
  #count = 0

  constructor(url: string) {
    this.#url = new URL(url)
  }

  get count(): number {
    return this.#count
  }

  start(): void {
    const socket = connect(Number(this.#url.port), this.#url.hostname)
    this.#socket = socket
    // Where it fails, the count is too small, and the packets show it.
    socket.on('error', () => socket.destroy())
    socket.write('MONITOR\r\n')
    createInterface({ input: socket }).on('line', (line) => {
      if (/^\+[\d.]+ \[/.test(line) && !line.includes(' lua] ')) this.#count += 1
    })
  }

  stop(): void {
    this.#socket?.destroy()
  }
}
