import type {
  IncomingReply,
  OutgoingRecord,
  ProducerDriver,
  ProducerReady,
  ProducerSink,
  PublishBatch,
  ReplyChannel,
  ReplyInboxDriver,
  ReplyInboxSink,
  ReplyInboxSpec,
} from '@streamswitch/core/driver'
import type { Channel, ConfirmChannel, ConsumeMessage } from 'amqplib'
import { type AmqpConnection, openConnection } from './connection.js'
import { replyQueueGone } from './errors.js'
import { replyOf } from './message.js'
import { Publisher } from './publisher.js'
import { replyQueueRefusal } from './reply-queues.js'
import type { Shared } from './shared.js'
import type { Lease } from './shared-connection.js'

const PREFETCH = 1_000
/** Every queue is bound to it by its name (AMQP 0-9-1, section 3.1.3.1). */
const DEFAULT_EXCHANGE = ''

/**
 * Replies by one queue per caller, which the default exchange leads to by its name. It has no other reader, outlives a lost connection,
 * and is deleted by the broker when its caller hasn't been there for the time that replies are of use.
 */
export function amqpReplies(shared: Shared): ReplyChannel {
  return {
    inbox: (spec, sink) => new AmqpInbox(shared, spec, sink),
    sender: (_spec, sink) => new AmqpReplySender(shared, sink),
    takesForeignAddresses: true,
    refusalOf: (target) => replyQueueRefusal(shared, target),
  }
}

class AmqpInbox implements ReplyInboxDriver {
  readonly #shared: Shared
  readonly #spec: ReplyInboxSpec
  readonly #sink: ReplyInboxSink
  readonly #queue: string
  #connection: AmqpConnection | undefined
  #channel: Channel | undefined
  #closed = false

  constructor(shared: Shared, spec: ReplyInboxSpec, sink: ReplyInboxSink) {
    this.#shared = shared
    this.#spec = spec
    this.#sink = sink
    this.#queue = `${spec.brokerName}:${spec.instance}`
  }

  async open(signal: AbortSignal): Promise<string> {
    const { settings, clientId } = this.#shared
    const connection = await openConnection(settings, `${clientId} replies`, signal)
    this.#connection = connection
    connection.listen({ lost: (error) => this.#lose(error) })
    const channel = await connection.openChannel((error) => this.#lose(error))
    this.#channel = channel
    const { ttlMs } = this.#spec
    await connection.call(
      'create the queue of replies',
      channel.assertQueue(this.#queue, {
        durable: true,
        expires: ttlMs,
        messageTtl: ttlMs,
        arguments: { 'x-queue-type': 'classic' },
      }),
    )
    await connection.call('set the prefetch', channel.prefetch(PREFETCH))
    await connection.call(
      'consume replies',
      channel.consume(this.#queue, (message) => this.#take(channel, message), { exclusive: true }),
    )
    return this.#queue
  }

  async probe(): Promise<void> {
    const [connection, channel] = [this.#connection, this.#channel]
    if (connection === undefined || channel === undefined) return
    await connection.call('probe', channel.checkQueue(this.#queue))
  }

  async close(final: boolean): Promise<void> {
    this.#closed = true
    const [connection, channel] = [this.#connection, this.#channel]
    if (connection === undefined) return
    if (final && channel !== undefined && !connection.gone)
      await connection.call('delete the queue of replies', channel.deleteQueue(this.#queue)).catch(() => {})
    await connection.close()
  }

  #take(channel: Channel, message: ConsumeMessage | null): void {
    if (message === null) return this.#lose(new Error('channel closed: the queue of replies was deleted'))
    const reply: IncomingReply = replyOf(message)
    this.#sink.reply(reply)
    try {
      channel.ack(message)
    } catch {
      // The channel has just ended: the reply comes again, and is recognised.
    }
  }

  #lose(error: unknown): void {
    if (this.#closed) return
    this.#closed = true
    this.#sink.lost(error)
  }
}

/** Publishes to the queues of callers, on the connection of the producers. */
class AmqpReplySender implements ProducerDriver {
  readonly maxInFlightBatches = 2
  readonly publishTimeoutMs = Number.POSITIVE_INFINITY
  readonly #shared: Shared
  readonly #sink: ProducerSink
  #lease: Lease | undefined
  #channel: ConfirmChannel | undefined
  #publisher: Publisher | undefined
  #unlisten: (() => void) | undefined
  #over = false

  constructor(shared: Shared, sink: ProducerSink) {
    this.#shared = shared
    this.#sink = sink
  }

  async open(signal: AbortSignal): Promise<ProducerReady> {
    const { publishing, settings } = this.#shared
    const lease = await publishing.acquire(signal)
    this.#lease = lease
    const { connection } = lease
    const channel = await connection.openConfirmChannel((error) => this.#lose(error))
    this.#channel = channel
    const publisher = new Publisher(channel, {
      topic: 'replies',
      exchange: DEFAULT_EXCHANGE,
      routingKeyOf: (record: OutgoingRecord) => record.key ?? '',
      maxUnconfirmed: settings.maxUnconfirmed,
      confirmTimeoutMs: settings.callTimeoutMs,
      contentType: undefined,
      maxFrameBytes: connection.maxFrameBytes,
      // The queue is the record's key, and of no use to who reads it.
      unroutable: (record) => replyQueueGone(record.key ?? ''),
      keyed: false,
      keepsUnrouted: false,
      setsAside: false,
      lost: (error) => this.#lose(error),
    })
    this.#publisher = publisher
    publisher.block(connection.blocked)
    this.#unlisten = connection.listen({
      blocked: (blocked) => publisher.block(blocked),
      lost: (error) => this.#lose(error),
    })
    return { partitions: 1, maxPayloadBytes: settings.maxPayloadBytes }
  }

  publish(batch: PublishBatch): Promise<void> {
    return this.#publisher?.publish(batch) ?? Promise.resolve()
  }

  async close(): Promise<void> {
    const [lease, lost] = [this.#lease, this.#over]
    this.#over = true
    this.#unlisten?.()
    this.#publisher?.end(new Error('channel closed'))
    if (lease === undefined) return
    const { connection } = lease
    if (this.#channel !== undefined && !connection.gone && !connection.blocked && !lost)
      await connection.call('close a channel', this.#channel.close()).catch(() => {})
    await lease.release()
  }

  #lose(error: unknown): void {
    this.#publisher?.end(error)
    if (this.#over) return
    this.#over = true
    this.#sink.lost(error)
  }
}
