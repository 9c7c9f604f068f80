import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { StreamError } from '../errors.js'
import { isLoopback, isNamedByAddress, parseNamedHost } from '../host-address.js'
import type { RunnerHealth } from './health.js'

/** Address of the health endpoint, and what it shows. */
export interface HealthServerOptions {
  /** Port to listen on. 0: any free port, which `runner.healthAddress` returns. */
  readonly port: number
  /**
   * Address to listen on. Default: `STREAMSWITCH_HEALTH_HOST`, else all interfaces, since an orchestrator probes the
   * pod's address.
   */
  readonly host?: string
  /**
   * Whether every caller sees the report with names, partitions and errors. Default: only callers on this machine;
   * others see `state`, `live`, `ready` and `degraded`.
   */
  readonly details?: boolean
}

/**
 * Maximum time for the headers of a request, and for a connection without a request, in milliseconds. Then the
 * connection is closed.
 */
const REQUEST_MS = 5_000

const MAX_CONNECTIONS = 500

const PATHS = ['/healthz', '/readyz']

/** Answers `GET /healthz` (liveness) and `GET /readyz` (readiness) with 200 or 503 and the report as JSON; `?lag` adds the lag. */
export class HealthServer {
  readonly #options: HealthServerOptions
  readonly #report: (withLag: boolean) => Promise<RunnerHealth>
  readonly #server: Server
  /** Reports being built, by whether they include the lag: concurrent requests share one. */
  readonly #reports = new Map<boolean, Promise<RunnerHealth>>()

  constructor(options: HealthServerOptions, report: (withLag: boolean) => Promise<RunnerHealth>) {
    this.#options = options
    this.#report = report
    this.#server = createServer(
      {
        headersTimeout: REQUEST_MS,
        requestTimeout: REQUEST_MS,
        keepAliveTimeout: REQUEST_MS,
        connectionsCheckingInterval: REQUEST_MS / 5,
      },
      (request, response) => void this.#answer(request, response),
    )
    this.#server.maxConnections = MAX_CONNECTIONS
  }

  /** The address it listens on; `undefined` while it doesn't listen. */
  get address(): { readonly host: string; readonly port: number } | undefined {
    const address = this.#server.address() as AddressInfo | null
    return address === null ? undefined : { host: address.address, port: address.port }
  }

  /** Rejects with CONFLICT when the port is in use, PERMISSION_DENIED when the process may not use it. */
  async listen(): Promise<void> {
    this.#server.listen(this.#options.port, this.#options.host)
    try {
      await once(this.#server, 'listening')
    } catch (cause) {
      const { code = '', message } = cause as NodeJS.ErrnoException
      throw new StreamError(`health: can't listen on port ${this.#options.port}: ${message}`, {
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

  /** Never rejects: every request gets a response. */
  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { path, query } = targetOf(request.url ?? '')
    if (!PATHS.includes(path))
      return send(response, 404, { error: `not found; available paths: ${PATHS.join(' and ')}` })
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return send(response, 405, { error: 'method not allowed: use GET or HEAD' }, { allow: 'GET, HEAD' })
    try {
      const isDetailed = this.#options.details ?? isOfThisMachine(request)
      const report = await this.#currentReport(isDetailed && query.has('lag'))
      const { state, live, ready, degraded } = report
      send(
        response,
        (path === '/healthz' ? live : ready) ? 200 : 503,
        isDetailed ? report : { state, live, ready, degraded },
      )
    } catch {
      send(response, 503, { error: 'the health report failed' })
    }
  }

  #currentReport(withLag: boolean): Promise<RunnerHealth> {
    const present = this.#reports.get(withLag)
    if (present !== undefined) return present
    const made = this.#report(withLag).finally(() => this.#reports.delete(withLag))
    this.#reports.set(withLag, made)
    return made
  }
}

/**
 * True when the request is from a process on this machine, and not from a web page in a browser on it: neither one of
 * another origin, nor one whose host name resolves to this machine (DNS rebinding), which the browser considers the
 * same origin.
 */
function isOfThisMachine({ socket, headers }: IncomingMessage): boolean {
  if (!isLoopback(socket.remoteAddress ?? '')) return false
  if (headers.origin !== undefined || (headers['sec-fetch-site'] ?? 'none') !== 'none') return false
  const host = parseNamedHost(headers.host)
  return host !== undefined && (isNamedByAddress(host) || /^(?:.+\.)?localhost$/.test(host.name))
}

/**
 * Returns path and query of a request target: the origin form, or the absolute form that proxies use (RFC 9112, section
 * 3.2). Anything else is treated as an unknown path. Never throws: a target may be any string.
 */
function targetOf(target: string): { readonly path: string; readonly query: URLSearchParams } {
  const origin = /^https?:\/\/[^/?#]*(.*)$/is.exec(target)?.[1] ?? target
  const mark = origin.indexOf('?')
  const path = mark < 0 ? origin : origin.slice(0, mark)
  return { path, query: new URLSearchParams(mark < 0 ? '' : origin.slice(mark + 1)) }
}

function send(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers })
  response.end(JSON.stringify(body))
}
