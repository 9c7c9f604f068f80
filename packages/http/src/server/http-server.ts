import { constants } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type ServerOptions as HttpsServerOptions } from 'node:https'
import type { Socket } from 'node:net'
import { isLoopback, type StreamError } from '@streamswitch/core/driver'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { BATCH_TYPE_FAMILY } from '../wire/batch-frames.js'
import { ACCEPTED_ENCODINGS, encodingsOf } from '../wire/content-encoding.js'
import type { ForeignHeaders } from '../wire/foreign-headers.js'
import { MAX_HEADERS } from '../wire/limits.js'
import { PROBLEM_TYPE, type Problem, problems } from '../wire/problem.js'
import { Access } from './access.js'
import { sendProblem } from './answers.js'
import type { Authorize } from './authorization.js'
import { ConnectionTable } from './connection-table.js'
import { HostCheck } from './host-check.js'
import type { Hub } from './hub.js'
import type { ListenCertificates } from './listen-certificates.js'
import type { ListenTokens } from './listen-tokens.js'
import { normalTarget } from './request-target.js'
import { handleGet, handlePost } from './requests.js'

export interface ServerSettings {
  readonly maxPayloadBytes: number
  readonly maxRequestBytes: number
  readonly foreignHeaders: ForeignHeaders
  readonly maxConnections: number
  readonly requestTimeoutMs: number
  readonly headersTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  readonly allowedOrigins: readonly string[]
  /** `undefined`: on loopback its usual names, elsewhere any. */
  readonly allowedHosts: readonly string[] | undefined
  readonly trustedProxies: readonly string[]
  readonly routingHeaders: 'authenticated' | 'all'
  readonly tls: ListenCertificates | undefined
  readonly tokens: ListenTokens | undefined
  readonly authorize: Authorize | undefined
  /** Where it will listen, as it was configured. */
  readonly host: string
  /** Called with errors of `authorize`. */
  readonly report: (error: StreamError) => void
}

/** Maximum header section: 32 KiB of headers, percent-encoded at worst, and the reserved ones. */
const MAX_HEADER_BYTES = 128 * 1024

/** Maximum number of headers of a request: a message's own, ours, and those that HTTP and proxies add. */
const MAX_REQUEST_HEADERS = MAX_HEADERS + 100

/** How long the answer to a broken request may take to leave, in milliseconds. */
const ANSWER_MS = 500

/** The server of one listening address: messages by POST (and GET, where a loop takes it), `/healthz`, `/readyz`. Not listening yet. */
export function makeServer(hub: Hub, settings: ServerSettings): FastifyInstance {
  const connections = new ConnectionTable(settings.maxConnections)
  const access = new Access(hub, {
    ...settings,
    hosts: new HostCheck(settings.allowedHosts, settings.host, () => isLoopback(boundHost(app.server))),
    asksClients: settings.tls?.asksClients === true,
  })
  const limits = { ...settings, access }
  const app: FastifyInstance = fastify({
    serverFactory: (handler) => makeNodeServer(settings, connections, handler),
    bodyLimit: settings.maxRequestBytes,
    clientErrorHandler: (error, socket) => answerBrokenRequest(error, socket, connections),
    exposeHeadRoutes: false,
    rewriteUrl: (request) => normalTarget(request.url ?? ''),
    // Of others, what forwarding headers say is ignored.
    trustProxy: settings.trustedProxies.length > 0 && [...settings.trustedProxies],
    logger: false,
  })
  // Bodies are the payloads, byte for byte, whatever their type.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.addHook('onRequest', (request, reply, done) => {
    const settle = (problem: Problem | undefined): void =>
      problem === undefined ? done() : refuse(request, reply, problem)
    const failed = (): void => refuse(request, reply, problems.internal())
    const verdict = access.checkOrigin(request, reply)
    if (verdict === 'preflight') {
      if (!request.raw.complete) reply.header('connection', 'close')
      return void reply.code(204).send()
    }
    if (verdict !== undefined) return refuse(request, reply, verdict)
    if (isHealth(request)) return settle(refuseEarly(request, reply, settings))
    const proceed = (refusal: Problem | undefined): void => {
      const problem = refusal ?? refuseEarly(request, reply, settings) ?? access.authorize(request)
      if (problem instanceof Promise) problem.then(settle, failed)
      else settle(problem)
    }
    // Judged here, not in the handshake: a client gets an answer that says what it lacks instead of finding its connection cut.
    const refusal = access.authenticate(request, reply)
    if (refusal instanceof Promise) refusal.then(proceed, failed)
    else proceed(refusal)
  })
  // What GET answers, without its body.
  const method = ['GET', 'HEAD']
  app.route({ method, url: '/healthz', handler: (_request, reply) => void reply.send({ status: 'ok' }) })
  app.route({
    method,
    url: '/readyz',
    handler: (_request, reply) =>
      void (hub.ready ? reply.send({ status: 'ready' }) : sendProblem(reply, problems.closing())),
  })
  app.post('/*', (request, reply) => handlePost(hub, limits, request, reply))
  app.get('/*', (request, reply) => handleGet(hub, limits, request, reply))
  app.setNotFoundHandler((_request, reply) => {
    reply.header('allow', 'POST')
    sendProblem(reply, problems.wrongMethod('POST'))
  })
  app.setErrorHandler((error: { readonly statusCode?: number; readonly message?: string }, request, reply) =>
    refuse(request, reply, problemOf(error, settings)),
  )
  return app
}

/** The address that a server listens at; empty where it doesn't. */
export function boundHost(server: Server): string {
  const bound = server.address()
  return typeof bound === 'object' && bound !== null ? bound.address : ''
}

function makeNodeServer(
  settings: ServerSettings,
  connections: ConnectionTable,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
) {
  const take = (request: IncomingMessage, response: ServerResponse): void => {
    if (connections.admits(request, response)) handler(request, response)
  }
  const headersTimeout = Math.min(settings.headersTimeoutMs, settings.requestTimeoutMs)
  const options = {
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: settings.requestTimeoutMs,
    headersTimeout,
    keepAliveTimeout: settings.keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.max(20, Math.min(1_000, Math.floor(settings.headersTimeoutMs / 4))),
    noDelay: true,
  }
  const { tls } = settings
  const server: Server =
    tls === undefined
      ? createServer(options, take)
      : makeTlsServer({ ...options, handshakeTimeout: headersTimeout }, tls, take, () => connections.replaceAll())
  // One more than are taken, so that it shows when there are too many.
  server.maxHeadersCount = MAX_REQUEST_HEADERS + 1
  connections.watch(server)
  // A handler may take as long as it does: idle sockets within a request are the sender's to judge.
  server.timeout = 0
  return server
}

function makeTlsServer(
  options: HttpsServerOptions,
  tls: ListenCertificates,
  take: (request: IncomingMessage, response: ServerResponse) => void,
  authoritiesChanged: () => void,
) {
  const secureOptions = secureOptionsOf(tls.asksClients)
  const server = createTlsServer(
    { ...options, ...tls.current, requestCert: tls.asksClients, rejectUnauthorized: false, secureOptions },
    take,
  )
  tls.attach(server, secureOptions, authoritiesChanged)
  return server
}

/**
 * A connection keeps the certificate that it began with: there are no renegotiations. Where certificates are asked for, sessions
 * aren't resumed either: each connection shows its own. (Node.js 20 calls a resumed TLS 1.3 session without one authorized.)
 */
function secureOptionsOf(asksClients: boolean): number {
  return constants.SSL_OP_NO_RENEGOTIATION | (asksClients ? constants.SSL_OP_NO_TICKET : 0)
}

function isHealth({ method, url }: FastifyRequest): boolean {
  return (method === 'GET' || method === 'HEAD') && (url === '/healthz' || url === '/readyz')
}

/** What can be said before the body is read. */
function refuseEarly(request: FastifyRequest, reply: FastifyReply, settings: ServerSettings): Problem | undefined {
  if (request.raw.rawHeaders.length > 2 * MAX_REQUEST_HEADERS)
    return problems.overLimit(`the request has too many headers: the limit is ${MAX_REQUEST_HEADERS}`)
  const encodings = encodingsOf(request.headers['content-encoding'])
  if (encodings === undefined) {
    // RFC 9110, section 15.5.16.
    reply.header('accept-encoding', ACCEPTED_ENCODINGS)
    return problems.unknownEncoding(ACCEPTED_ENCODINGS)
  }
  const length = Number(request.headers['content-length'] ?? 0)
  const batch = String(request.headers['content-type'] ?? '').startsWith(BATCH_TYPE_FAMILY)
  // What is encoded may be larger than what it holds.
  if (!batch && encodings.length === 0 && length > settings.maxPayloadBytes)
    return problems.tooLarge(settings.maxPayloadBytes, 'payload')
  if (length > settings.maxRequestBytes) return problems.tooLarge(settings.maxRequestBytes, 'request')
  return undefined
}

/** Refuses a request whose body may not have been read: the connection can't be used again. */
function refuse(request: FastifyRequest, reply: FastifyReply, problem: Problem): void {
  if (!request.raw.complete) reply.header('connection', 'close')
  sendProblem(reply, problem)
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

/**
 * A request that is no HTTP, too slow, or has too large headers: there is no reply object yet. The connection is gone once the
 * answer is written, whatever the client does.
 */
function answerBrokenRequest(error: { readonly code?: string }, socket: Socket, connections: ConnectionTable): void {
  const problem = problemOfBroken(error)
  if (problem === undefined || !socket.writable || connections.isAnswering(socket)) return void socket.destroy()
  const body = JSON.stringify(problem)
  socket.end(
    `HTTP/1.1 ${problem.status} ${problem.title}\r\ncontent-type: ${PROBLEM_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  )
  // A client that reads nothing, with a full socket: the answer never gets out.
  setTimeout(() => socket.destroy(), ANSWER_MS).unref()
}

/** `undefined`: the client is gone, or its TLS handshake failed, so that nobody could read an answer. */
function problemOfBroken({ code = '' }: { readonly code?: string }): Problem | undefined {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return { status: 408, title: 'The request took too long', code: 'TIMEOUT', retryable: true }
  if (code === 'HPE_HEADER_OVERFLOW')
    return { status: 431, title: 'The headers are too large', code: 'TOO_LARGE', retryable: false }
  return code.startsWith('HPE_') ? problems.malformed('not an HTTP/1.1 request') : undefined
}
