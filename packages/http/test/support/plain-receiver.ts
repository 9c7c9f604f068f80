import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'

export interface PlainRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** An HTTP server that knows nothing of Streamswitch: it keeps the requests, and answers what it is told to. */
export class PlainReceiver implements AsyncDisposable {
  readonly requests: PlainRequest[] = []
  /** Connections that clients have made. */
  connections = 0
  /** Status and headers of the next answers, in turn; then 200. */
  readonly answers: {
    readonly status: number
    readonly headers?: Record<string, string>
    readonly body?: string | Buffer
  }[] = []
  /** Where it is set, it answers instead. */
  answer: ((request: IncomingMessage, response: ServerResponse) => void) | undefined
  readonly #server: Server
  #wake: (() => void)[] = []

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        this.requests.push({
          method: request.method ?? '',
          url: request.url ?? '',
          headers: request.headers,
          body: Buffer.concat(chunks),
        })
        if (this.answer !== undefined) this.answer(request, response)
        else this.#next(response)
        for (const wake of this.#wake.splice(0)) wake()
      })
    })
    this.#server.on('connection', () => (this.connections += 1))
  }

  #next(response: ServerResponse): void {
    const { status, headers, body } = this.answers.shift() ?? { status: 200, body: 'thanks' }
    response.writeHead(status, headers).end(body)
  }

  static async listen(): Promise<PlainReceiver> {
    const receiver = new PlainReceiver()
    await new Promise<void>((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve))
    return receiver
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`
  }

  /** Resolves with the requests once there are this many. */
  async received(count: number): Promise<readonly PlainRequest[]> {
    while (this.requests.length < count) await new Promise<void>((resolve) => this.#wake.push(resolve))
    return this.requests
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
