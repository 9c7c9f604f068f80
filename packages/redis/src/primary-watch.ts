import { type HostAddress, isStreamError, StreamError } from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import { isReply } from './errors.js'
import { textOf } from './handshake.js'

/** How long to wait for the other hosts, in milliseconds: one that doesn't answer accepts no writes either. */
const ANSWER_MS = 1_000

/** A host that says it is the primary. */
interface Primary {
  readonly address: HostAddress
  /** Its real address, and its process: two names of one server count as one. */
  readonly identity: readonly string[]
}

/**
 * Connects to a host. Resolves with the connection if it says that it is the primary, else with `undefined`; may
 * reject.
 */
export type AskPrimary = (address: HostAddress, signal: AbortSignal) => Promise<Connection | undefined>

/**
 * Ensures that exactly one of several hosts is the primary: an old primary that was restarted with its old
 * configuration accepts writes that are lost when it becomes a replica. The servers don't know which of two is the
 * right one.
 */
export class PrimaryWatch {
  readonly #addresses: readonly HostAddress[]
  readonly #ask: AskPrimary
  #known: { readonly at: number; readonly primaries: Promise<readonly Primary[]> } | undefined

  constructor(addresses: readonly HostAddress[], ask: AskPrimary) {
    this.#addresses = addresses
    this.#ask = ask
  }

  /**
   * Rejects with UNAVAILABLE while more than one host says that it is the primary, UNSUPPORTED when one is a Sentinel
   * or a cluster's node.
   *
   * @param since - earlier answers are out of date: a time of `performance.now()`.
   */
  async requireOne(since: number): Promise<void> {
    if (this.#addresses.length < 2) return
    const primaries = await this.#primaries(since)
    const distinct: Primary[] = []
    for (const primary of primaries) if (!distinct.some((one) => isSame(one, primary))) distinct.push(primary)
    if (distinct.length < 2) return
    const names = distinct.map(({ address }) => textOf(address)).join(' and ')
    throw new StreamError(
      `${names} both say that they are the primary: nothing is sent or read until only one does. Make the other one a replica (REPLICAOF), or remove it from the URL`,
      { code: 'UNAVAILABLE', transport: 'redis', operation: 'open' },
    )
  }

  /** All hosts that say so. Connections that are opened at the same time share the answers. */
  #primaries(since: number): Promise<readonly Primary[]> {
    if (this.#known === undefined || this.#known.at < since)
      this.#known = {
        at: performance.now(),
        primaries: Promise.all(this.#addresses.map((address) => this.#find(address))).then(known),
      }
    return this.#known.primaries
  }

  async #find(address: HostAddress): Promise<Primary | undefined> {
    let connection: Connection | undefined
    try {
      connection = await this.#ask(address, AbortSignal.timeout(ANSWER_MS))
      if (connection === undefined) return undefined
      return { address, identity: await identityOf(connection) }
    } catch (error) {
      if (isStreamError(error) && error.code === 'UNSUPPORTED') throw error
      // Down, or may not be queried: not a primary for us.
      return undefined
    } finally {
      connection?.close()
    }
  }
}

function known(found: readonly (Primary | undefined)[]): readonly Primary[] {
  return found.filter((primary) => primary !== undefined)
}

function isSame(one: Primary, other: Primary): boolean {
  return one.identity.some((value) => other.identity.includes(value))
}

async function identityOf(connection: Connection): Promise<readonly string[]> {
  const { remoteAddress, remotePort } = connection.client.stream
  const place = `${remoteAddress} ${remotePort}`
  try {
    const run = /^run_id:(\S+)/m.exec(String(await connection.call('INFO', 'server')))?.[1]
    return run === undefined ? [place] : [place, run]
  } catch (error) {
    if (isReply(error, 'NOPERM')) return [place]
    throw error
  }
}
