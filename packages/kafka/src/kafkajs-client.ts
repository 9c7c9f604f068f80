import net from 'node:net'
import tls from 'node:tls'
import { type Logger, readSecret, type TlsSettings } from '@streamswitch/core/driver'
import kafkajs, { type Kafka, type KafkaConfig, type SASLOptions } from 'kafkajs'
import type { BootstrapServers } from './bootstrap.js'
import { FETCH, fetchDecoding, type Throttling } from './fetch-decoding.js'
import { prepareClusters } from './kafkajs-internals.js'
import { applyKafkajsPatches } from './kafkajs-patches.js'
import type { KafkaValues } from './options.js'
import { keepLeadersApart } from './partial-metadata.js'
import { hookRequests } from './request-hooks.js'
import { TlsFiles } from './tls-files.js'
import { CREATE_TOPICS, topicRefusals } from './topic-refusals.js'

/** Idle time after which the operating system starts to probe a connection, in milliseconds. */
const KEEP_ALIVE_MS = 30_000

/**
 * How often kafkajs retries a connection: once, for one that the broker has closed when idle. Core retries the rest.
 */
const CONNECTION_RETRY = { retries: 1, initialRetryTime: 100, maxRetryTime: 300 }

/** One kafkajs client whose sockets can be cut: created for one driver, discarded with it. */
export class KafkajsClient {
  readonly kafka: Kafka
  readonly #sockets: Sockets
  readonly #throttling: Throttling

  private constructor(kafka: Kafka, sockets: Sockets, throttling: Throttling) {
    this.kafka = kafka
    this.#sockets = sockets
    this.#throttling = throttling
  }

  /**
   * Reads credentials and certificates, each time again. Doesn't connect yet. Rejects with UNAUTHENTICATED or
   * INVALID_ARGUMENT when they can't be read.
   */
  static async make(
    options: KafkaValues,
    bootstrap: BootstrapServers,
    clientId: string,
    logger: Logger,
  ): Promise<KafkajsClient> {
    applyKafkajsPatches()
    const password = await readSecret(options.password, 'kafka')
    const files = options.tls ? await TlsFiles.read(options, logger) : undefined
    const sockets: Sockets = { open: new Set(), cut: false, closedBytes: 0 }
    const config: KafkaConfig = {
      clientId,
      brokers: [...options.brokers],
      connectionTimeout: options.connectionTimeoutMs,
      requestTimeout: options.requestTimeoutMs,
      retry: CONNECTION_RETRY,
      logLevel: kafkajs.logLevel.WARN,
      logCreator: () => (entry) => logger.debug(`kafkajs ${entry.namespace}: ${entry.log.message}`),
      socketFactory: (request) => openSocket(request, files?.take(), sockets),
      ssl: files !== undefined,
      ...(options.username === undefined || password === undefined
        ? {}
        : { sasl: { mechanism: options.saslMechanism, username: options.username, password } as SASLOptions }),
    }
    const kafka = new kafkajs.Kafka(config)
    const throttling: Throttling = { until: 0 }
    const hooks = new Map([
      [FETCH, fetchDecoding(options, throttling)],
      [CREATE_TOPICS, topicRefusals],
    ])
    prepareClusters(kafka, (cluster) => {
      bootstrap.serve(cluster.brokerPool)
      keepLeadersApart(cluster)
      hookRequests(cluster.brokerPool, hooks)
    })
    return new KafkajsClient(kafka, sockets, throttling)
  }

  /** True while brokers delay fetches because of a quota. */
  get isThrottled(): boolean {
    return performance.now() < this.#throttling.until
  }

  /** Number of bytes that brokers have sent so far, on all connections. */
  get arrivedBytes(): number {
    let bytes = this.#sockets.closedBytes
    for (const socket of this.#sockets.open) bytes += socket.bytesRead
    return bytes
  }

  /** Closes every connection immediately, with pending requests, and every later one when it is attempted. */
  cut(): void {
    this.#sockets.cut = true
    for (const socket of this.#sockets.open) socket.destroy(cutError())
  }
}

/** The connections of one client. */
interface Sockets {
  readonly open: Set<net.Socket>
  /** New ones are closed when they are attempted. */
  cut: boolean
  /** Bytes received on closed ones. */
  closedBytes: number
}

/** kafkajs doesn't notice a socket that ends without an error: its requests would wait until they time out. */
function cutError(): Error {
  return new Error('the connection was cut')
}

interface SocketRequest {
  readonly host: string
  readonly port: number
  readonly onConnect: () => void
}

/** kafkajs's own factory leaves Nagle's algorithm on, which delays small requests. */
function openSocket(
  { host, port, onConnect }: SocketRequest,
  settings: TlsSettings | undefined,
  sockets: Sockets,
): net.Socket {
  const name = net.isIP(host) === 0 ? { servername: host } : {}
  const socket =
    settings === undefined
      ? net.connect({ host, port }, onConnect)
      : tls.connect({ host, port, ...name, ...settings }, onConnect)
  socket.setNoDelay(true)
  socket.setKeepAlive(true, KEEP_ALIVE_MS)
  sockets.open.add(socket)
  socket.once('close', () => {
    sockets.open.delete(socket)
    sockets.closedBytes += socket.bytesRead
  })
  if (sockets.cut) socket.destroy(cutError())
  return socket
}
