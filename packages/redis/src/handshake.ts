import { type HostAddress, StreamError } from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import { isReply } from './errors.js'

/** Slots of a Redis Cluster. */
const SLOTS = 16_384

/** What a server reports about itself. */
interface Greeting {
  /** standalone`, `cluster` or `sentinel`; `undefined` when the server doesn't report it. */
  readonly mode: string | undefined
  /** `master` or `replica`. */
  readonly role: string | undefined
}

/** Settings of a connection's handshake. */
interface Handshake {
  readonly address: HostAddress
  readonly database: number
  /** Name in the server's list of clients. */
  readonly name: string
}

/**
 * Names the connection, selects the database and identifies the server, by `HELLO`, which needs no permission. Resolves
 * with the server's role. Rejects with UNSUPPORTED for a Sentinel and for a node of a Redis Cluster that doesn't hold
 * all slots, and with the server's error replies.
 */
export async function shakeHands(connection: Connection, { address, database, name }: Handshake): Promise<Greeting> {
  const [hello, named, selected] = await Promise.allSettled([
    connection.call('HELLO'),
    connection.call('CLIENT', 'SETNAME', name),
    database === 0 ? undefined : connection.call('SELECT', database),
  ])
  const greeting = hello.status === 'fulfilled' ? greetingOf(hello.value) : { mode: undefined, role: undefined }
  if (greeting.mode === 'sentinel') throw sentinel(address)
  if (greeting.mode === 'cluster') await requireAllSlots(connection, address)
  // A server at its client limit replies so to the first command, whichever it is.
  if (hello.status === 'rejected' && !isReply(hello.reason, 'unknown command')) throw hello.reason
  if (named.status === 'rejected' && isReply(named.reason, 'max number of clients')) throw named.reason
  if (selected.status === 'rejected') throw selected.reason
  return greeting
}

function greetingOf(reply: unknown): Greeting {
  const list = Array.isArray(reply) ? reply.map((part: unknown) => String(part)) : []
  const value = (name: string): string | undefined => {
    const at = list.indexOf(name)
    return at < 0 ? undefined : list[at + 1]
  }
  return { mode: value('mode'), role: value('role') }
}

function sentinel(address: HostAddress): StreamError {
  return unsupported(
    `${textOf(address)} is a Redis Sentinel (its mode is 'sentinel'), which stores no messages: use the addresses of the primary and its replicas instead, such as redis://host:6379,host:6379`,
  )
}

/** A cluster whose slots are all on one node works for topics with one partition. */
async function requireAllSlots(connection: Connection, address: HostAddress): Promise<void> {
  const held = await slotsHeld(connection)
  if (held === SLOTS) return
  const share = held === undefined ? '' : ` and holds ${held} of ${SLOTS} slots`
  throw unsupported(
    `${textOf(address)} is a node of a Redis Cluster (its mode is 'cluster')${share}: Redis Cluster is not supported, use a server with replicas`,
  )
}

/** Number of slots that the node holds; `undefined` when this user may not query it. */
async function slotsHeld(connection: Connection): Promise<number | undefined> {
  try {
    const nodes = String(await connection.call('CLUSTER', 'NODES'))
    const fields = nodes.split('\n').find((line) => / (?:\S+,)?myself[, ]/.test(line))
    const ranges = fields?.split(' ').slice(8) ?? []
    return ranges.reduce((total, range) => total + sizeOf(range), 0)
  } catch (error) {
    if (isReply(error, 'NOPERM')) return undefined
    throw error
  }
}

/** 7`, `0-5460`, or a slot that is being moved, in brackets, which doesn't count. */
function sizeOf(range: string): number {
  const match = /^(\d+)(?:-(\d+))?$/.exec(range)
  return match === null ? 0 : Number(match[2] ?? match[1]) - Number(match[1]) + 1
}

function unsupported(message: string): StreamError {
  return new StreamError(message, { code: 'UNSUPPORTED', transport: 'redis', operation: 'open' })
}

/** An address as users write it. */
export function textOf({ host, port }: HostAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
