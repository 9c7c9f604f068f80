import { setTimeout as delay } from 'node:timers/promises'
import { isLoopback, StreamError } from '@streamswitch/core/driver'
import type { FastifyInstance } from 'fastify'
import { classifyError } from '../errors.js'
import type { ListenAddress } from '../option-checks.js'
import type { Authorize } from './authorization.js'
import { boundHost, makeServer, type ServerSettings } from './http-server.js'
import { Hub } from './hub.js'
import { type CertificateFiles, ListenCertificates } from './listen-certificates.js'
import { ListenTokens, type NamedSecret } from './listen-tokens.js'

/** One listening address per process, also where several copies of this package are loaded. */
const LISTENERS = Symbol.for('streamswitch.http.listeners')

/** Maximum time for responses in flight when the last loop has left, in milliseconds. */
const CLOSE_MS = 2_000

interface Listener {
  readonly hub: Hub
  readonly server: FastifyInstance
  /** Its settings: transports that share it must have the same. */
  readonly limits: string
  readonly tokens: ListenTokens | undefined
  readonly authorize: Authorize | undefined
  readonly address: ListenAddress
  readonly exposed: boolean
  /** One per lease. The first is notified of errors that concern the listener. */
  readonly reporters: Set<Report>
}

type Report = (error: StreamError) => void

type ListenLimits = Omit<ServerSettings, 'tokens' | 'tls' | 'authorize' | 'report' | 'host'>

export interface LeaseRequest {
  readonly address: ListenAddress
  readonly limits: ListenLimits
  /** `undefined`: without TLS. */
  readonly certificates: CertificateFiles | undefined
  /** Empty: anybody may send. */
  readonly tokens: readonly NamedSecret[]
  readonly authorize: Authorize | undefined
  /** Told of what goes wrong with the listener later: a token that can't be read any more. */
  readonly report: Report
}

/** A loop's share of a listener. */
export interface Lease {
  readonly hub: Hub
  readonly server: FastifyInstance
  /** Where it listens, with the port that was found where 0 was asked for. */
  readonly address: ListenAddress
  /** Anybody who can connect may send, and not only from this machine. */
  readonly exposed: boolean
  /** The last one to release closes the server. Never rejects, takes a few seconds at most. */
  release(): Promise<void>
}

interface Slot {
  listener: Listener | undefined
  /** Opening and closing, one after the other. */
  turn: Promise<unknown>
}

/**
 * Listens at an address, or shares the server of this process that does. Rejects with CONFLICT where another process listens
 * there, or another transport of this process with other settings; with PERMISSION_DENIED or INVALID_ARGUMENT where this process can't;
 * with UNAUTHENTICATED where the token can't be read or is empty.
 */
export function lease(request: LeaseRequest): Promise<Lease> {
  const { address, tokens, authorize, report } = request
  const name = `${address.host}:${address.port}`
  const slots = allSlots()
  let slot = slots.get(name)
  if (slot === undefined) {
    slot = { listener: undefined, turn: Promise.resolve() }
    slots.set(name, slot)
  }
  const own = slot
  return inTurn(own, async () => {
    own.listener ??= await listen(request)
    const { listener } = own
    const isAlike = listener.limits === wishesOf(request) && listener.authorize === authorize
    if (!isAlike || !(await hasTokens(listener, tokens))) throw conflict(name)
    return leaseOf(own, listener, report)
  })
}

/**
 * Returns the settings that all users of a listener must share, apart from tokens and functions. Certificates count by
 * their files, whose contents may change.
 */
function wishesOf({ limits, certificates }: LeaseRequest): string {
  return JSON.stringify({ ...limits, ...certificates })
}

async function hasTokens({ tokens }: Listener, wanted: readonly NamedSecret[]): Promise<boolean> {
  return tokens === undefined ? wanted.length === 0 : tokens.equal(wanted)
}

function leaseOf(slot: Slot, listener: Listener, report: Report): Lease {
  // A separate function: several may pass the same one.
  const own: Report = (error) => report(error)
  listener.reporters.add(own)
  let released: Promise<void> | undefined
  const release = (): Promise<void> =>
    inTurn(slot, async () => {
      listener.reporters.delete(own)
      if (listener.reporters.size > 0) return
      slot.listener = undefined
      await close(listener.server)
    }).catch(() => {})
  return {
    hub: listener.hub,
    server: listener.server,
    address: listener.address,
    exposed: listener.exposed,
    release: () => {
      released ??= release()
      return released
    },
  }
}

async function listen(request: LeaseRequest): Promise<Listener> {
  const { address, limits, certificates, authorize } = request
  const hub = new Hub()
  const reporters = new Set<Report>()
  const report: Report = (error) => {
    for (const first of reporters) return first(error)
  }
  const tokens = request.tokens.length === 0 ? undefined : await ListenTokens.read(request.tokens, report)
  const tls = certificates === undefined ? undefined : await ListenCertificates.read(certificates, report)
  const server = makeServer(hub, { ...limits, tls, tokens, authorize, host: address.host, report })
  try {
    await server.listen({ host: address.host, port: address.port })
  } catch (error) {
    await server.close().catch(() => {})
    throw classifyError(error, 'listen')
  }
  const bound = server.server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port
  return {
    hub,
    server,
    limits: wishesOf(request),
    tokens,
    authorize,
    address: { host: address.host, port },
    exposed:
      tokens === undefined && certificates?.listenTlsCaFile === undefined && !isLoopback(boundHost(server.server)),
    reporters,
  }
}

/** Lets responses in flight finish, then drops remaining connections. */
async function close(server: FastifyInstance): Promise<void> {
  const deadline = performance.now() + CLOSE_MS
  let closed = false
  const closing = server.close().then(
    () => {
      closed = true
    },
    () => {
      closed = true
    },
  )
  while (!closed && performance.now() < deadline) {
    server.server.closeIdleConnections()
    await Promise.race([closing, delay(20)])
  }
  server.server.closeAllConnections()
  await closing
}

function inTurn<T>(slot: Slot, work: () => Promise<T>): Promise<T> {
  const result = slot.turn.then(work)
  slot.turn = result.catch(() => {})
  return result
}

function allSlots(): Map<string, Slot> {
  const holder = globalThis as { [LISTENERS]?: Map<string, Slot> }
  holder[LISTENERS] ??= new Map()
  return holder[LISTENERS]
}

function conflict(name: string): StreamError {
  return new StreamError(
    `another transport of this process listens on ${name} with other limits, access options, certificates or tokens: give both the same, or another address (listen)`,
    {
      code: 'CONFLICT',
      retryable: false,
      transport: 'http',
      operation: 'listen',
    },
  )
}
