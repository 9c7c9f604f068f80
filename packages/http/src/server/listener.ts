import { setTimeout as delay } from 'node:timers/promises'
import { StreamError } from '@streamswitch/core/driver'
import type { FastifyInstance } from 'fastify'
import { classifyError } from '../errors.js'
import type { ListenAddress } from '../option-checks.js'
import { makeServer, type ServerSettings } from './http-server.js'
import { Hub } from './hub.js'

/** One listening address per process, also where several copies of this package are loaded. */
const LISTENERS = Symbol.for('streamswitch.http.listeners')

/** How long responses that are on their way may take when the last loop has left, in milliseconds. */
const CLOSE_MS = 2_000

interface Listener {
  readonly hub: Hub
  readonly server: FastifyInstance
  /** What it was made with: whoever shares it must want the same. */
  readonly settings: string
  readonly address: ListenAddress
  users: number
}

/** A loop's share of a listener. */
export interface Lease {
  readonly hub: Hub
  readonly server: FastifyInstance
  /** Where it listens, with the port that was found where 0 was asked for. */
  readonly address: ListenAddress
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
 * there, or another transport of this process with other settings; with PERMISSION_DENIED or INVALID_ARGUMENT where this process can't.
 */
export function lease(address: ListenAddress, settings: ServerSettings): Promise<Lease> {
  const name = `${address.host}:${address.port}`
  const slots = allSlots()
  let slot = slots.get(name)
  if (slot === undefined) {
    slot = { listener: undefined, turn: Promise.resolve() }
    slots.set(name, slot)
  }
  const own = slot
  return inTurn(own, async () => {
    own.listener ??= await listen(address, settings)
    const { listener } = own
    if (listener.settings !== JSON.stringify(settings)) throw conflict(name)
    listener.users += 1
    return leaseOf(own, listener)
  })
}

function leaseOf(slot: Slot, listener: Listener): Lease {
  let released: Promise<void> | undefined
  const release = (): Promise<void> =>
    inTurn(slot, async () => {
      listener.users -= 1
      if (listener.users > 0) return
      slot.listener = undefined
      await close(listener.server)
    }).catch(() => {})
  return {
    hub: listener.hub,
    server: listener.server,
    address: listener.address,
    release: () => {
      released ??= release()
      return released
    },
  }
}

async function listen(address: ListenAddress, settings: ServerSettings): Promise<Listener> {
  const hub = new Hub()
  const server = makeServer(hub, settings)
  try {
    await server.listen({ host: address.host, port: address.port })
  } catch (error) {
    await server.close().catch(() => {})
    throw classifyError(error, 'listen')
  }
  const bound = server.server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port
  return { hub, server, settings: JSON.stringify(settings), address: { host: address.host, port }, users: 0 }
}

/** Lets responses out that are on their way, then drops whatever is still connected. */
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
    `another transport of this process listens on ${name} with other limits, certificates or token: give both the same, or another address (listen)`,
    {
      code: 'CONFLICT',
      retryable: false,
      transport: 'http',
      operation: 'listen',
    },
  )
}
