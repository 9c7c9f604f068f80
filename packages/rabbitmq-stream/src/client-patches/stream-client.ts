import { randomUUID } from 'node:crypto'
import type { TlsSettings } from '@streamswitch/core/driver'
import type { ClientParams, DeclareConsumerParams } from 'rabbitmq-stream-js-client'
import { ConsumerCreditPolicy } from 'rabbitmq-stream-js-client/dist/consumer_credit_policy.js'
import { ConsumerUpdateResponse } from 'rabbitmq-stream-js-client/dist/requests/consumer_update_response.js'
import { CreditRequest } from 'rabbitmq-stream-js-client/dist/requests/credit_request.js'
import { Offset } from 'rabbitmq-stream-js-client/dist/requests/subscribe_request.js'
import { UnsubscribeRequest } from 'rabbitmq-stream-js-client/dist/requests/unsubscribe_request.js'
import { type ClientInternals, LibraryClient, type LibraryLogger } from './library.js'
import { ConnectionGone, NoLeader, PublishersRefused, ResponseCode, ServerError } from './server-error.js'
import type { ConsumerUpdate } from './server-frames.js'
import { type ConnectionEvents, StreamConnection, type StreamConnectionParams } from './stream-connection.js'

/** Subscriptions or publishers that one connection gets before another is opened: their ids have one byte. */
const MAX_PER_CONNECTION = 250
const BALANCER_ATTEMPTS = 50
/** The broker refuses longer references with the same code as a disk alarm. */
const MAX_REFERENCE_BYTES = 255
const DISK_ALARM = 'the broker accepts no messages: it is short of disk space (disk alarm)'

/** Events of a client for its driver. Chunks and updates go to their subscriptions. */
export interface ClientEvents extends Pick<ConnectionEvents, 'closed' | 'confirmed' | 'refused' | 'streamChanged'> {}

export interface StreamClientParams extends ClientParams {
  readonly events: ClientEvents
  readonly requestTimeoutMs: number
  /** Reads certificates for a connection to a host; `false` without TLS. */
  readonly readSsl: (host: string) => Promise<TlsSettings | false>
  /** Connect to the given address only, again and again, until the wanted node answers. */
  readonly loadBalancer: boolean
}

/** A publisher of one stream. */
export interface StreamPublisherHandle {
  readonly connection: StreamConnection
  readonly publisherId: number
  /** The broker's last publishing id under the publisher's reference; 0 without one. */
  readonly lastPublishingId: bigint
}

/** A subscription to one stream. */
export interface SubscriptionHandle {
  readonly connection: StreamConnection
  readonly subscriptionId: number
  readonly extendedId: string
}

/** Where what arrives for a subscription goes. Both are called from the socket's event and must not throw. */
export interface SubscriptionEvents {
  /** @param chunk - from the chunk's header on. */
  chunk?(chunk: Buffer): void
  /** Answer with {@link StreamClient.answerUpdate}: the broker waits for it. */
  update?(connection: StreamConnection, update: ConsumerUpdate): void
}

interface RegisteredConsumer {
  readonly connection: StreamConnection
  readonly consumer: { readonly consumerId: number }
  readonly params: { readonly events?: SubscriptionEvents }
}

interface Node {
  readonly host: string
  readonly port: number
}

/** What a connection is for. */
type Use = 'requests' | 'reading'

/** Tells candidacies apart where the library asks for a connection. */
const CANDIDATE = (): void => {}

class FixedCredit extends ConsumerCreditPolicy {}

/**
 * The library's client on {@link StreamConnection}s, two per node for all streams: one for requests, publishers and candidacies, one for what is
 * read. Before it answers what came later, the broker's process of a connection sleeps a millisecond for every chunk after which a subscription
 * with credits has nothing more to read (RabbitMQ 4.0.5), and each number that a group stores is such a chunk: on one connection, 64
 * partitions with their offsets keep it from answering. A candidacy has no credits, and must not share what is read: what its member
 * has stored is handled before its end, or its answer to an update, makes another member the owner. The library's own pool keeps dead
 * connections, opens one per stream, and takes two nodes of one host for the same. Disposable: a client that has lost a connection is closed and replaced.
 */
export class StreamClient extends LibraryClient {
  readonly #pools: Record<Use, Map<string, Promise<StreamConnection>[]>> = { requests: new Map(), reading: new Map() }
  readonly #logger: LibraryLogger
  #closed = false

  constructor(logger: LibraryLogger, params: StreamClientParams) {
    super(logger, params)
    this.#logger = logger
    this.pool = { releaseConnection: async () => {} }
  }

  get #settings(): StreamClientParams {
    return this.params as StreamClientParams
  }

  get locator(): StreamConnection {
    return this.locatorConnection as StreamConnection
  }

  /** Connects to the address of the parameters. Rejects with what the broker or the socket said. */
  async connect(): Promise<this> {
    await this.locator.start()
    this.#pools.requests.set(nodeKey(this.locator.serverEndpoint), [Promise.resolve(this.locator)])
    return this
  }

  /** Every connection that is open. */
  async connections(): Promise<StreamConnection[]> {
    const settled = await Promise.allSettled(this.#opened())
    return settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  }

  /** Declares a publisher on the stream's leader. */
  async publisher(stream: string, reference: string | undefined): Promise<StreamPublisherHandle> {
    const declared = await this.declarePublisher({
      stream,
      ...(reference === undefined ? {} : { publisherRef: reference }),
    }).catch((error: unknown) => {
      throw isDiskAlarm(error, reference) ? new PublishersRefused(DISK_ALARM) : error
    })
    const { connection, publisherId, publishingId } = declared as unknown as {
      connection: StreamConnection
      publisherId: number
      publishingId: bigint
    }
    return { connection, publisherId, lastPublishingId: publishingId }
  }

  /** Subscribes. What arrives goes to the client's events, never to the library's handler. */
  async subscribe(params: SubscribeSettings, events: SubscriptionEvents): Promise<SubscriptionHandle> {
    const { superStream, credit, ...rest } = params
    // The library registers these before it asks the broker, so that nothing that comes with the answer is missed.
    const settings: DeclareConsumerParams & { events: SubscriptionEvents } = {
      ...rest,
      events,
      creditPolicy: new FixedCredit(credit),
      ...(params.singleActive === true ? { connectionClosedListener: CANDIDATE } : {}),
    }
    const parent = superStream === undefined ? undefined : ({ superStream } as never)
    const declared = (await this.declareConsumer(settings, () => {}, parent).catch((error: unknown) => {
      this.#forget(settings)
      throw error
    })) as unknown as {
      connection: StreamConnection
      consumerId: number
      extendedId: string
    }
    return { connection: declared.connection, subscriptionId: declared.consumerId, extendedId: declared.extendedId }
  }

  /** A subscription that was refused: the library keeps it listed when the request rejects, and its number with it. */
  #forget(settings: object): void {
    for (const [extendedId, registered] of this.consumers) {
      const { params, connection, consumer } = registered as RegisteredConsumer
      if (params !== settings) continue
      this.consumers.delete(extendedId)
      connection.releaseConsumerId(consumer.consumerId)
    }
  }

  /** Ends a subscription, which the broker has already done if its stream was deleted. */
  async unsubscribe(handle: SubscriptionHandle): Promise<void> {
    await handle.connection.sendAndWait(new UnsubscribeRequest(handle.subscriptionId)).catch((error: unknown) => {
      if (!(error instanceof ServerError && error.code === ResponseCode.subscriptionIdDoesNotExist)) throw error
    })
    this.consumers.delete(handle.extendedId)
    handle.connection.releaseConsumerId(handle.subscriptionId)
  }

  /** Lets the broker send `chunks` more. */
  credit(handle: SubscriptionHandle, chunks: number): void {
    handle.connection.send(new CreditRequest({ subscriptionId: handle.subscriptionId, credit: chunks })).catch(() => {})
  }

  /** Answers a consumer update. Defect: the library's own answer comes without a deadline, and at the initial offset where a listener is missing. */
  answerUpdate(connection: StreamConnection, correlationId: number, offset: Offset): void {
    connection
      .send(new ConsumerUpdateResponse({ correlationId, responseCode: ResponseCode.ok, offset }))
      .catch(() => {})
  }

  override getLocatorConnection(): StreamConnection {
    return new StreamConnection(connectionParams(this, this.params as StreamClientParams), SILENT)
  }

  override async getConnection(
    stream: string,
    purpose: 'publisher' | 'consumer',
    listener?: unknown,
  ): Promise<StreamConnection> {
    const [metadata] = await this.queryMetadata({ streams: [stream] })
    const leader = metadata?.leader
    if (leader === undefined) throw new NoLeader(`stream '${stream}' has no leader at the moment`)
    if (purpose === 'publisher') return this.#nodeConnection(leader, 'requests')
    const holders = [...(metadata?.replicas ?? []), leader]
    const { reading, requests } = this.#pools
    const connected = [reading, requests].flatMap((pool) => holders.filter((node) => pool.has(nodeKey(node))))[0]
    const node = connected ?? holders[Math.floor(Math.random() * holders.length)] ?? leader
    return this.#nodeConnection(node, listener === CANDIDATE ? 'requests' : 'reading')
  }

  async #nodeConnection(node: Node, use: Use): Promise<StreamConnection> {
    const key = nodeKey(node)
    const pool = this.#pools[use]
    const open = pool.get(key) ?? []
    const latest = await open.at(-1)
    if (latest !== undefined && latest.failure === undefined && hasRoom(latest)) return latest
    if (pool.get(key)?.at(-1) !== open.at(-1)) return this.#nodeConnection(node, use)
    const opening = this.#open(node)
    pool.set(key, [...open, opening])
    return opening
  }

  #opened(): Promise<StreamConnection>[] {
    return Object.values(this.#pools).flatMap((pool) => [...pool.values()].flat())
  }

  async #open(node: Node): Promise<StreamConnection> {
    const settings = this.#settings
    if (!settings.loadBalancer) return this.#start({ ...settings, hostname: node.host, port: node.port })
    for (let attempt = 1; attempt <= BALANCER_ATTEMPTS; attempt += 1) {
      const connection = await this.#start(settings)
      if (nodeKey(connection.serverEndpoint) === nodeKey(node)) return connection
      await connection.close()
    }
    throw new ConnectionGone(`the load balancer never led to node ${nodeKey(node)} in ${BALANCER_ATTEMPTS} attempts`)
  }

  async #start(params: StreamClientParams): Promise<StreamConnection> {
    if (this.#closed) throw new ConnectionGone('the client is closed')
    const ssl = await params.readSsl(params.hostname)
    return new StreamConnection(connectionParams(this, { ...params, ssl }), this.#logger).start()
  }

  /**
   * Ends every connection. Never rejects, takes about a second at most. Defect: the library's version leaks sockets, or
   * waits forever.
   */
  override async close(): Promise<void> {
    this.#closed = true
    const ends = this.#opened().map((one) => one.then((connection) => connection.close()).catch(() => {}))
    await Promise.all([...ends, this.locator.close()])
  }
}

export interface SubscribeSettings {
  readonly stream: string
  readonly offset: Offset
  /** Chunks that the broker may send at once. */
  readonly credit: number
  /** Shown in the management tools. */
  readonly consumerTag?: string
  readonly consumerRef?: string
  readonly singleActive?: boolean
  /** Makes the broker spread the partitions of this super stream over the group's members. */
  readonly superStream?: string
  readonly filter?: NonNullable<DeclareConsumerParams['filter']>
}

function hasRoom(connection: StreamConnection): boolean {
  return (
    connection.subscriptionIds.size < MAX_PER_CONNECTION &&
    (connection as unknown as { publisherId: number }).publisherId < MAX_PER_CONNECTION
  )
}

function nodeKey(node: Node): string {
  return `${node.host}:${node.port}`
}

/** Called within the base constructor as well: must not need the subclass's fields. */
function connectionParams(client: ClientInternals, params: StreamClientParams): StreamConnectionParams {
  const find = (connection: StreamConnection, id: number): SubscriptionEvents | undefined => {
    const consumer = client.consumers.get(`${id}@${connection.connectionId}`) as RegisteredConsumer | undefined
    return consumer?.params.events
  }
  const events: ConnectionEvents = {
    ...params.events,
    chunk: (connection, id, chunk) => find(connection, id)?.chunk?.(chunk),
    consumerUpdate: (connection, update) => find(connection, update.subscriptionId)?.update?.(connection, update),
    // A credit for a subscription that has just ended.
    creditRefused: () => {},
  }
  return { ...params, events, connectionId: randomUUID(), leader: false, streamName: '' }
}

/** The library's own log is of no use here: what matters reaches the adapter as errors and events. */
export const SILENT: LibraryLogger = { debug() {}, info() {}, warn() {}, error() {} }

export { Offset }

function isDiskAlarm(error: unknown, reference: string | undefined): boolean {
  return (
    error instanceof ServerError &&
    error.code === ResponseCode.preconditionFailed &&
    Buffer.byteLength(reference ?? '') <= MAX_REFERENCE_BYTES
  )
}
