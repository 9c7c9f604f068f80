import {
  FetchBudget,
  type HostAddress,
  type Logger,
  readSecret,
  readTls,
  StreamError,
  signOfLife,
  type TransportContext,
} from '@streamswitch/core/driver'
import { type RedisOptions as ClientOptions, Redis } from 'ioredis'
import { classifyError, isReply } from './errors.js'
import { shakeHands } from './handshake.js'
import type { RedisSettings } from './options.js'
import { PrimaryWatch } from './primary-watch.js'
import type { Script } from './script.js'
import { Seeds } from './seeds.js'

/** Maximum time for one of several hosts to accept the connection, in milliseconds; then the next one is tried. */
const HOST_TIMEOUT_MS = 5_000

/**
 * Fetches take a quarter of a deadline: what waits behind one may do so several times, and a link may slow down between
 * two of them.
 */
const SHARE_OF_FETCHES = 4

/** Time during which concurrent probes share the answers of the other hosts, in milliseconds. */
const PROBE_SHARED_MS = 500

export type Argument = string | Buffer | number

interface ConnectionRequest {
  /** Purpose of the connection: shown in the server's list of clients. */
  readonly role: string
  /** Called once when the connection is lost, unless it was closed. */
  readonly lost: (error: unknown) => void
  /** Added to `callTimeoutMs` for commands that are meant to block. */
  readonly blockMs?: number
}

/** Opens the connections of one transport. */
export class Connector {
  readonly settings: RedisSettings
  readonly logger: Logger
  /** Persists across connections, so that a new connection doesn't request what the last one was too slow for. */
  readonly fetchBudget: FetchBudget
  readonly #clientId: string
  readonly #open = new Set<Connection>()
  readonly #seeds: Seeds
  readonly #primaries: PrimaryWatch
  readonly #warned = new Set<string>()

  constructor(settings: RedisSettings, context: TransportContext) {
    this.settings = settings
    this.logger = context.logger
    // Other calls wait behind an answer, and the heartbeat after next, which is not sent before the last one is
    // answered.
    const shortestMs = Math.min(settings.callTimeoutMs, settings.leaseMs)
    this.fetchBudget = new FetchBudget(settings.maxFetchBytes, shortestMs / SHARE_OF_FETCHES)
    this.#seeds = new Seeds(settings.hosts)
    this.#primaries = new PrimaryWatch(this.#seeds.addresses, async (address, signal) => {
      const { connection, role } = await this.#connectTo(address, { role: 'check', lost: () => {} }, signal)
      if (await isPrimary(connection, role)) return connection
      connection.close()
      return undefined
    })
    this.#clientId = context.clientId.replaceAll(/[^\x21-\x7e]/g, '_')
  }

  /** The ioredis client of the oldest open connection. */
  get native(): Redis | undefined {
    return this.#open.values().next().value?.client
  }

  /**
   * Connects to the primary, with the current password. Rejects with the client's error, with UNAVAILABLE while two
   * hosts say that they are the primary; gives up when the signal aborts.
   */
  async connect(request: ConnectionRequest, signal: AbortSignal): Promise<Connection> {
    const began = performance.now()
    const connection = await this.#seeds.find(async (address) => {
      const { connection, role } = await this.#connectTo(address, request, signal)
      try {
        if (this.#seeds.several && !(await isPrimary(connection, role)))
          throw new Error('READONLY the server is a replica')
        return connection
      } catch (error) {
        connection.close()
        throw error
      }
    }, signal)
    try {
      await this.#primaries.requireOne(began)
      return connection
    } catch (error) {
      connection.close()
      throw error
    }
  }

  /**
   * Checks a connection in use: by its answer, and by asking the other hosts whether one of them also says that it is
   * the primary.
   */
  async probe(connection: Connection | undefined): Promise<void> {
    if (connection === undefined) return
    // Not awaited: hosts that don't answer don't concern this connection.
    void this.#primaries.requireOne(performance.now() - PROBE_SHARED_MS).catch((error: unknown) => {
      if (classifyError(error, 'probe').retryable) connection.fail(error)
    })
    await connection.probe()
  }

  async #connectTo(
    address: HostAddress,
    request: ConnectionRequest,
    signal: AbortSignal,
  ): Promise<{ readonly connection: Connection; readonly role: string | undefined }> {
    const client = new Redis({ ...(await this.#clientOptions(address, request)), replyMapping: 'legacy' })
    let reason: unknown
    client.on('error', (error) => {
      reason = error
    })
    const abort = (): void => client.disconnect()
    signal.addEventListener('abort', abort, { once: true })
    try {
      signal.throwIfAborted()
      await client.connect()
      signal.throwIfAborted()
    } catch (error) {
      client.disconnect()
      signal.throwIfAborted()
      // The promise only says that the connection is closed; the event has the reason.
      throw reason ?? error
    } finally {
      signal.removeEventListener('abort', abort)
    }
    const connection = new Connection(client, () => this.#open.delete(connection), request.lost)
    this.#open.add(connection)
    const close = (): void => connection.close()
    signal.addEventListener('abort', close, { once: true })
    try {
      const { database } = this.settings
      const name = `${this.#clientId}:${request.role}`.replaceAll(' ', '-')
      return { connection, role: (await shakeHands(connection, { address, database, name })).role }
    } catch (error) {
      connection.close()
      signal.throwIfAborted()
      throw isClosed(error) ? (reason ?? error) : error
    } finally {
      signal.removeEventListener('abort', close)
    }
  }

  /** Connects and checks the server's version. Rejects with UNSUPPORTED when it is too old. */
  async connectChecked(request: ConnectionRequest, signal: AbortSignal): Promise<Connection> {
    const connection = await this.connect(request, signal)
    try {
      await this.#checkServer(connection)
      return connection
    } catch (error) {
      connection.close()
      throw error
    }
  }

  close(): void {
    for (const connection of [...this.#open]) connection.close()
  }

  async #clientOptions({ host, port }: HostAddress, request: ConnectionRequest): Promise<ClientOptions> {
    const { username, password, tls, callTimeoutMs, durability, durabilityTimeoutMs } = this.settings
    const secret = await readSecret(password, 'redis')
    const certificates = tls ? await readTls(this.settings, 'redis', host) : undefined
    const blockMs = request.blockMs ?? (durability === 'reply' ? 0 : durabilityTimeoutMs)
    return {
      host,
      port,
      lazyConnect: true,
      protocol: 2,
      noDelay: true,
      keepAlive: 10_000,
      connectTimeout: this.#seeds.several ? Math.min(HOST_TIMEOUT_MS, callTimeoutMs) : callTimeoutMs,
      commandTimeout: callTimeoutMs + blockMs,
      disableClientInfo: true,
      // Core owns reconnecting and resending: a connection lives once, and refuses what it can't do now.
      retryStrategy: null,
      maxRetriesPerRequest: null,
      enableOfflineQueue: false,
      enableReadyCheck: false,
      ...(username === undefined ? {} : { username }),
      ...(secret === undefined ? {} : { password: secret }),
      ...(certificates === undefined ? {} : { tls: certificates }),
    }
  }

  async #checkServer(connection: Connection): Promise<void> {
    let facts: string
    try {
      facts = String(await connection.call('INFO'))
    } catch (error) {
      // A user without permission for this check can still work.
      if (isReply(error, 'NOPERM')) return
      throw error
    }
    const version = /^redis_version:(\d+)\.(\d+)/m.exec(facts)
    if (version !== null && Number(version[1]) < 7) {
      throw new StreamError(`the server is Redis ${version[1]}.${version[2]}: 7.0 or newer is required`, {
        code: 'UNSUPPORTED',
        transport: 'redis',
        operation: 'open',
      })
    }
    if (/^loading:1/m.test(facts)) throw new Error('LOADING the server is loading its data')
    if (/^aof_enabled:0/m.test(facts))
      this.#warnOnce(
        'has no append-only file (appendonly no): accepted messages are lost when it stops between snapshots',
      )
    const policy = /^maxmemory_policy:(\S+)/m.exec(facts)?.[1] ?? 'noeviction'
    if (policy !== 'noeviction')
      this.#warnOnce(
        `has maxmemory-policy ${policy}: at maxmemory it deletes ${policy.startsWith('volatile') ? 'what keeps messages from being stored or handled twice' : 'messages that were accepted, and the metadata of topics'}; set it to noeviction`,
      )
  }

  #warnOnce(what: string): void {
    if (this.#warned.has(what)) return
    this.#warned.add(what)
    this.logger.warn(`redis at ${this.settings.hosts.join(', ')} ${what}`)
  }
}

/** Returns whether a server accepts writes. A replica doesn't, and may lag behind. */
async function isPrimary(connection: Connection, role: string | undefined): Promise<boolean> {
  if (role !== undefined) return role === 'master'
  return /^role:master/m.test(String(await connection.call('INFO', 'replication')))
}

/** True when the client only says that the connection is closed, and an earlier event may have the reason. */
function isClosed(error: unknown): boolean {
  return error instanceof Error && error.message.includes('Connection is closed')
}

/** One connection, for its whole life: when it breaks it isn't reopened. */
export class Connection {
  readonly client: Redis
  readonly #closed: () => void
  #over = false
  #corked = false
  #lost: ((error: unknown) => void) | undefined

  constructor(client: Redis, closed: () => void, lost: (error: unknown) => void) {
    this.client = client
    this.#closed = closed
    this.#lost = lost
    let reason: unknown = new Error('Connection is closed.')
    client.on('error', (error) => {
      reason = error
    })
    client.once('end', () => this.fail(reason))
  }

  /** Number of bytes that the server has sent so far. */
  get arrivedBytes(): number {
    return this.client.stream.bytesRead
  }

  /** Resolves when the server has shown that it is alive: by its answer, or by any earlier traffic. */
  probe(): Promise<void> {
    return signOfLife(this.client.stream, this.call('PING'))
  }

  /** Sends a command; replies are binary. */
  async call(command: string, ...args: Argument[]): Promise<unknown> {
    this.#writeTogether()
    try {
      return await this.client.callBuffer(command, args)
    } catch (error) {
      throw this.#examine(error)
    }
  }

  /** Runs a script, by its hash if the server knows it. */
  async run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    this.#writeTogether()
    try {
      return await this.client.callBuffer('EVALSHA', [script.hash, keys.length, ...keys, ...args])
    } catch (error) {
      if (!isReply(error, 'NOSCRIPT')) throw this.#examine(error)
    }
    return this.call('EVAL', script.source, keys.length, ...keys, ...args)
  }

  /** Runs commands as one transaction. Rejects with the first error among their replies. */
  async transaction(commands: readonly (readonly Argument[])[]): Promise<readonly unknown[]> {
    this.#writeTogether()
    const queued = [['MULTI'], ...commands, ['EXEC']].map(([name, ...args]) =>
      this.client.callBuffer(String(name), args as Argument[]),
    )
    try {
      const replies = (await Promise.all(queued)).at(-1) as readonly unknown[]
      const error = replies.find((reply) => reply instanceof Error)
      if (error !== undefined) throw error
      return replies
    } catch (error) {
      throw this.#examine(error)
    }
  }

  /** The connection is unusable: notifies its owner, once. */
  fail(error: unknown): void {
    const lost = this.#lost
    this.close()
    lost?.(error)
  }

  /** Later calls have no effect: each command that fails with the connection causes one. */
  close(): void {
    if (this.#over) return
    this.#over = true
    this.#lost = undefined
    this.#closed()
    this.client.disconnect()
  }

  /** Sends the commands of one turn with one system call: ioredis writes each separately. */
  #writeTogether(): void {
    if (this.#corked || this.#over) return
    this.#corked = true
    const { stream } = this.client
    stream.cork()
    process.nextTick(() => {
      this.#corked = false
      stream.uncork()
    })
  }

  /** After a timeout, answers could be attributed to the wrong commands; a replica will never accept a write. */
  #examine(error: unknown): unknown {
    if (error instanceof Error && (error.message.includes('ommand timed out') || isReply(error, 'READONLY')))
      this.fail(error)
    return error
  }
}
