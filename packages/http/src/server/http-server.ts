import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { BATCH_TYPE_FAMILY } from '../wire/batch-frames.js'
import { PROBLEM_TYPE, type Problem, problems } from '../wire/problem.js'
import { sendProblem } from './answers.js'
import type { Hub } from './hub.js'
import { handleGet, handlePost } from './requests.js'

export interface ServerSettings {
  readonly maxPayloadBytes: number
  readonly maxRequestBytes: number
  readonly maxConnections: number
  readonly requestTimeoutMs: number
  readonly headersTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  readonly tls: { readonly cert: string; readonly key: string; readonly ca?: string } | undefined
  readonly token: string | undefined
}

/** Largest header section: 32 KiB of headers, percent-encoded at worst, and the reserved ones. */
const MAX_HEADER_BYTES = 128 * 1024

/** The server of one listening address: messages by POST (and GET, where a loop takes it), `/healthz`, `/readyz`. Not listening yet. */
export function makeServer(hub: Hub, settings: ServerSettings): FastifyInstance {
  const app = fastify({
    serverFactory: (handler) => makeNodeServer(settings, handler),
    bodyLimit: settings.maxRequestBytes,
    clientErrorHandler: (error, socket) => answerBrokenRequest(error, socket),
    exposeHeadRoutes: false,
    logger: false,
  })
  // Bodies are the payloads, byte for byte, whatever their type.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.addHook('onRequest', (request, reply, done) => {
    const problem = refuseEarly(request, settings)
    if (problem === undefined) done()
    else refuse(request, reply, problem)
  })
  app.get('/healthz', (_request, reply) => void reply.send({ status: 'ok' }))
  app.get(
    '/readyz',
    (_request, reply) => void (hub.ready ? reply.send({ status: 'ready' }) : sendProblem(reply, problems.closing())),
  )
  app.post('/*', (request, reply) => handlePost(hub, settings, request, reply))
  app.get('/*', (request, reply) => handleGet(hub, settings, request, reply))
  app.setNotFoundHandler((_request, reply) => {
    reply.header('allow', 'POST')
    sendProblem(reply, problems.wrongMethod('POST'))
  })
  app.setErrorHandler((error: { readonly statusCode?: number; readonly message?: string }, request, reply) =>
    refuse(request, reply, problemOf(error, settings)),
  )
  return app
}

function makeNodeServer(settings: ServerSettings, handler: (request: never, response: never) => void) {
  const options = {
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: settings.requestTimeoutMs,
    headersTimeout: Math.min(settings.headersTimeoutMs, settings.requestTimeoutMs),
    keepAliveTimeout: settings.keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.max(20, Math.min(1_000, Math.floor(settings.headersTimeoutMs / 4))),
    noDelay: true,
  }
  const { tls } = settings
  const server =
    tls === undefined
      ? createServer(options, handler as never)
      : createTlsServer(
          { ...options, ...tls, requestCert: tls.ca !== undefined, rejectUnauthorized: false },
          handler as never,
        )
  server.maxConnections = settings.maxConnections
  // A handler may take as long as it does: idle sockets within a request are the sender's to judge.
  server.timeout = 0
  return server as ReturnType<typeof createServer>
}

/** What can be said before the body is read. */
function refuseEarly(request: FastifyRequest, settings: ServerSettings): Problem | undefined {
  const health = request.method === 'GET' && (request.url === '/healthz' || request.url === '/readyz')
  // Judged here, not in the handshake: a client is told what it lacks instead of finding its connection cut.
  if (!health && settings.tls?.ca !== undefined && (request.raw.socket as TLSSocket).authorized !== true)
    return problems.uncertified()
  if (!health && !isAuthorized(request.headers.authorization, settings.token)) return problems.unauthenticated()
  const length = Number(request.headers['content-length'] ?? 0)
  const batch = String(request.headers['content-type'] ?? '').startsWith(BATCH_TYPE_FAMILY)
  if (!batch && length > settings.maxPayloadBytes) return problems.tooLarge(settings.maxPayloadBytes, 'payload')
  if (length > settings.maxRequestBytes) return problems.tooLarge(settings.maxRequestBytes, 'request')
  return undefined
}

/** Refuses a request whose body may not have been read: the connection can't be used again. */
function refuse(request: FastifyRequest, reply: FastifyReply, problem: Problem): void {
  if (!request.raw.complete) reply.header('connection', 'close')
  sendProblem(reply, problem)
}

function isAuthorized(header: string | undefined, token: string | undefined): boolean {
  if (token === undefined) return true
  const shown = /^bearer (.+)$/i.exec(header ?? '')?.[1] ?? ''
  return timingSafeEqual(digest(shown), digest(token))
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function problemOf(
  error: { readonly statusCode?: number; readonly message?: string },
  settings: ServerSettings,
): Problem {
  const status = error.statusCode ?? 500
  if (status === 413) return problems.tooLarge(settings.maxRequestBytes, 'request')
  if (status === 503) return problems.closing()
  return status >= 400 && status < 500 ? { ...problems.malformed(error.message ?? ''), status } : problems.internal()
}

/** A request that is no HTTP, too slow, or has too large headers: there is no reply object yet. */
function answerBrokenRequest(error: { readonly code?: string }, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const problem: Problem =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? { status: 408, title: 'The request took too long', code: 'TIMEOUT', retryable: true }
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? { status: 431, title: 'The headers are too large', code: 'TOO_LARGE', retryable: false }
        : problems.malformed('it is no HTTP/1.1 request')
  const body = JSON.stringify(problem)
  socket.end(
    `HTTP/1.1 ${problem.status} ${problem.title}\r\ncontent-type: ${PROBLEM_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}
