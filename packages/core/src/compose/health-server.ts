import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { StreamError } from '../errors.js'
import type { RunnerHealth } from './health.js'

/** Where health checks are answered. */
export interface HealthServerOptions {
  /** 0: any free one, which `runner.healthAddress` tells. */
  readonly port: number
  /** Address to listen at. Default: all interfaces, for an orchestrator's probes come from outside. */
  readonly host?: string
}

/** Answers `GET /healthz` (liveness) and `GET /readyz` (readiness) with 200 or 503 and the report as JSON; `?lag` adds the lag. */
export class HealthServer {
  readonly #options: HealthServerOptions
  readonly #report: (withLag: boolean) => Promise<RunnerHealth>
  readonly #server: Server

  constructor(options: HealthServerOptions, report: (withLag: boolean) => Promise<RunnerHealth>) {
    this.#options = options
    this.#report = report
    this.#server = createServer((request, response) => void this.#answer(request, response))
  }

  /** Where it listens; `undefined` while it doesn't. */
  get address(): { readonly host: string; readonly port: number } | undefined {
    const address = this.#server.address() as AddressInfo | null
    return address === null ? undefined : { host: address.address, port: address.port }
  }

  /** Rejects with CONFLICT where the port is taken, PERMISSION_DENIED where it may not be used. */
  async listen(): Promise<void> {
    this.#server.listen(this.#options.port, this.#options.host)
    try {
      await once(this.#server, 'listening')
    } catch (cause) {
      const { code = '', message } = cause as NodeJS.ErrnoException
      throw new StreamError(`health: can't listen at port ${this.#options.port}: ${message}`, {
        code: code === 'EADDRINUSE' ? 'CONFLICT' : code === 'EACCES' ? 'PERMISSION_DENIED' : 'INVALID_ARGUMENT',
        operation: 'listen',
        cause,
      })
    }
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
    const isLiveness = pathname === '/healthz'
    if (!isLiveness && pathname !== '/readyz') return send(response, 404, { error: 'not found' })
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return send(response, 405, { error: 'only GET and HEAD' }, { allow: 'GET, HEAD' })
    try {
      const report = await this.#report(searchParams.has('lag'))
      send(response, (isLiveness ? report.live : report.ready) ? 200 : 503, report)
    } catch {
      send(response, 503, { error: 'no report could be made' })
    }
  }
}

function send(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers })
  response.end(JSON.stringify(body))
}
