import { execFile } from 'node:child_process'
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { portOf } from '../brokers/definition.js'
import type { BrokerHandle } from '../brokers/index.js'
import { callManagement } from '../brokers/rabbitmq-probe.js'
import { type RedisAdministrator, redisCommand } from './redis-rights.js'

const ANSWER_MS = 30_000
const QUEUE = 'harness-connections'
const EVENTS_TOGETHER = 1_000

/** A client's connection as the broker knows it. */
export interface SeenConnection {
  /** What the client calls itself: its `clientId`, perhaps with more behind it. */
  readonly client: string
  /** Whom the broker has authenticated. */
  readonly user: string
}

/** Where a broker says who is connected; plain data, for another process to read from. */
export type ConnectionSource =
  /** The list of clients: those that are connected at the moment. */
  | { readonly kind: 'redis'; readonly administrator: RedisAdministrator }
  /** Events of the broker (plugin rabbitmq_event_exchange): every connection, also those that are over. */
  | { readonly kind: 'rabbitmq'; readonly managementPort: number }
  /** The log of requests: every connection, also those that are over. */
  | { readonly kind: 'kafka'; readonly logFile: string }

/** Lets a RabbitMQ announce connections on an exchange, and collects them in a queue. */
export async function rabbitmqConnections(broker: BrokerHandle): Promise<ConnectionSource> {
  const file = join(broker.dataDir, 'enabled_plugins')
  const enabled = await readFile(file, 'utf8')
  await writeFile(file, enabled.replace(']', ',rabbitmq_event_exchange]'))
  await promisify(execFile)(broker.tool('rabbitmqctl'), ['eval', `rabbit_plugins:ensure("${file}").`])
  const managementPort = portOf(broker.ports, 'management')
  await manage(managementPort, 'PUT', `queues/%2F/${QUEUE}`, { durable: true })
  await manage(managementPort, 'POST', `bindings/%2F/e/amq.rabbitmq.event/q/${QUEUE}`, {
    routing_key: 'connection.created',
  })
  return { kind: 'rabbitmq', managementPort }
}

/** Lets a Kafka log every request with the connection's user. */
export async function kafkaConnections(broker: BrokerHandle): Promise<ConnectionSource> {
  await promisify(execFile)(broker.tool('kafka-configs'), [
    ...['--bootstrap-server', broker.url.replace('kafka://', ''), '--alter'],
    ...['--entity-type', 'broker-loggers', '--entity-name', '1', '--add-config', 'kafka.request.logger=DEBUG'],
  ])
  return { kind: 'kafka', logFile: broker.logFile }
}

/** Reads who is or was connected, again and again. */
export class ConnectionReader {
  readonly #source: ConnectionSource
  #offset = 0
  #rest = ''
  readonly #known = new Set<string>()

  constructor(source: ConnectionSource) {
    this.#source = source
  }

  /** Connections since the last call; of Redis, those that are open. */
  async read(): Promise<readonly SeenConnection[]> {
    const source = this.#source
    if (source.kind === 'redis') return readClientList(await redisCommand(source.administrator, 'CLIENT', 'LIST'))
    if (source.kind === 'rabbitmq') return readEvents(source.managementPort)
    return this.#readLog(source.logFile)
  }

  async #readLog(file: string): Promise<SeenConnection[]> {
    const log = await open(file)
    try {
      const { size } = await log.stat()
      const added = Buffer.alloc(size - this.#offset)
      await log.read(added, 0, added.length, this.#offset)
      this.#offset = size
      const lines = `${this.#rest}${added.toString()}`.split('\n')
      this.#rest = lines.pop() ?? ''
      return lines.flatMap((line) => this.#logged(line))
    } finally {
      await log.close()
    }
  }

  #logged(line: string): SeenConnection[] {
    const connection = /"connection":"([^"]+)"/.exec(line)?.[1]
    const user = /"principal":"User:([^"]+)"/.exec(line)?.[1]
    const client = /"clientId":"([^"]*)"/.exec(line)?.[1]
    if (connection === undefined || user === undefined || client === undefined || this.#known.has(connection)) return []
    this.#known.add(connection)
    return [{ client, user }]
  }
}

function readClientList(list: string): SeenConnection[] {
  return list.split('\n').map((line) => ({
    client: /\bname=(\S*)/.exec(line)?.[1] ?? '',
    user: /\buser=(\S*)/.exec(line)?.[1] ?? '',
  }))
}

interface ConnectionEvent {
  readonly properties: { readonly headers: { readonly user?: string; readonly user_provided_name?: string } }
}

async function readEvents(managementPort: number): Promise<SeenConnection[]> {
  const body = await manage(managementPort, 'POST', `queues/%2F/${QUEUE}/get`, {
    count: EVENTS_TOGETHER,
    ackmode: 'ack_requeue_false',
    encoding: 'auto',
  })
  return (body as readonly ConnectionEvent[]).map(({ properties: { headers } }) => ({
    client: headers.user_provided_name ?? '',
    user: headers.user ?? '',
  }))
}

async function manage(port: number, method: string, path: string, request: unknown): Promise<unknown> {
  const { status, body } = await callManagement(port, method, path, request, ANSWER_MS)
  if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(body)}`)
  return body
}
