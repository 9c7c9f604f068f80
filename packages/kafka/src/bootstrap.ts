import { StreamError } from '@streamswitch/core/driver'
import { classifyError } from './errors.js'
import type { Broker, BrokerPool } from './kafkajs-internals.js'

const DEFAULT_PORT = 9092
const MAX_PORT = 65_535

/** How long a bootstrap server may take before the next one is tried in parallel, in milliseconds. */
const PATIENCE_MS = 1_000

export interface Server {
  readonly host: string
  readonly port: number
}

/** Reads `host:port`, `host` and `[address]:port`. Throws INVALID_ARGUMENT for anything else. */
export function parseServer(text: string): Server {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]\s]+))(?::(\d+))?$/.exec(text.trim()) ?? []
  const host = bracketed ?? plain
  const number = port === undefined ? DEFAULT_PORT : Number(port)
  if (host !== undefined && number >= 1 && number <= MAX_PORT) return { host, port: number }
  throw new StreamError(`kafka.brokers: expected 'host:port', got '${text}'`, {
    code: 'INVALID_ARGUMENT',
    transport: 'kafka',
    operation: 'configure',
  })
}

/** The bootstrap servers. The server that answered last is asked first the next time. */
export class BootstrapServers {
  #servers: readonly Server[]

  constructor(brokers: readonly string[]) {
    this.#servers = brokers.map(parseServer)
  }

  /**
   * Makes a pool of brokers find the cluster by any server that answers. kafkajs tries at most two, always the first
   * ones, and stays with one that accepts the connection and says nothing. Here they are tried in turn: the next one
   * when one has failed, or after a second in parallel.
   */
  serve(pool: BrokerPool): void {
    const { removeBroker } = pool
    // Without a seed kafkajs fails on the next broker that it removes, and on the next one that it asks for.
    pool.removeBroker = (address) => {
      const { seedBroker } = pool
      removeBroker.call(pool, address)
      pool.seedBroker ??= seedBroker
    }
    let connecting: Promise<void> | undefined
    pool.connect = () => {
      if (pool.hasConnectedBrokers()) return Promise.resolve()
      connecting ??= this.#connect(pool).finally(() => {
        connecting = undefined
      })
      return connecting
    }
  }

  async #connect(pool: BrokerPool): Promise<void> {
    const servers = this.#servers
    const { server, broker } = await firstToAnswer(servers, (one) => open(pool, one))
    if (server !== servers[0]) this.#servers = [server, ...servers.filter((one) => one !== server)]
    pool.seedBroker = broker
    pool.versions = broker.versions
  }
}

interface Answer {
  readonly server: Server
  readonly broker: Broker
}

async function open(pool: BrokerPool, { host, port }: Server): Promise<Broker> {
  const connectionPool = await pool.connectionPoolBuilder.build({ host, port })
  const broker = pool.createBroker({ connectionPool, logger: pool.rootLogger })
  try {
    await broker.connect()
    return broker
  } catch (error) {
    void broker.disconnect().catch(() => {})
    throw error
  }
}

function firstToAnswer(servers: readonly Server[], connect: (server: Server) => Promise<Broker>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const failures: (readonly [server: Server, error: unknown])[] = []
    let answered = false
    let next = 0
    let timer: NodeJS.Timeout | undefined
    const tryNext = (): void => {
      clearTimeout(timer)
      const server = servers[next]
      if (answered || server === undefined) return
      next += 1
      timer = setTimeout(tryNext, PATIENCE_MS)
      connect(server).then(
        (broker) => {
          // Another one was faster.
          if (answered) return void broker.disconnect().catch(() => {})
          answered = true
          clearTimeout(timer)
          resolve({ server, broker })
        },
        (error: unknown) => {
          failures.push([server, error])
          if (failures.length === servers.length) reject(noServer(failures))
          else tryNext()
        },
      )
    }
    tryNext()
  })
}

/**
 * Combines the errors of all servers. The code is that of the most informative one: a refusal by a broker before a
 * failed connection.
 */
function noServer(failures: readonly (readonly [server: Server, error: unknown])[]): unknown {
  const [first] = failures
  const telling = failures.find(([, error]) => classifyError(error, 'open').code !== 'UNAVAILABLE') ?? first
  if (failures.length === 1) return telling?.[1]
  const reasons = failures.map(([{ host, port }, error]) => `${host}:${port}: ${classifyError(error, 'open').message}`)
  return new Error(`no bootstrap server can be used: ${reasons.join('; ')}`, { cause: telling?.[1] })
}
