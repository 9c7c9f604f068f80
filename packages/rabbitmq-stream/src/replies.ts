import {
  isInboxBelow,
  type ProducerDriver,
  type ProducerSink,
  type ReplyChannel,
  type ReplyInboxDriver,
  type ReplyInboxSink,
  type ReplyInboxSpec,
  type ReplySenderSpec,
  type TopicSpec,
} from '@streamswitch/core/driver'
import { Chunk } from './chunk.js'
import { ServerError } from './client-patches/server-error.js'
import { Offset, type StreamClient, type SubscriptionHandle } from './client-patches/stream-client.js'
import { type ConnectionSource, openClient } from './connection.js'
import { toDelivery } from './message.js'
import { NativeMessage } from './native-message.js'
import { MAX_DECOMPRESSED_BYTES, type StreamProducerSettings } from './options.js'
import { StreamProducerDriver } from './producer.js'
import { resolvePosition } from './stream-positions.js'
import { unpack } from './sub-entries.js'
import { ensureTopic, whenAvailable } from './topology.js'

/** Chunks that the broker may send ahead. */
const CREDIT = 16
const ALL = Number.MAX_SAFE_INTEGER

/**
 * Replies by one stream that all callers below a prefix share: each reads it from its end on and passes over what is for others.
 * Nothing is left of a caller but messages, which the stream's short retention drops.
 */
export function streamReplies(source: ConnectionSource): ReplyChannel {
  return {
    inbox: (spec, sink) => new StreamInbox(source, spec, sink),
    sender: (spec, sink) => replySender(source, spec, sink),
    // It is a key in the stream of replies, whatever it says.
    refusalOf: ({ inbox, brokerName }) =>
      isInboxBelow('', inbox) ? undefined : `replies can only be sent to instances in the stream '${brokerName}'`,
  }
}

function topicOf({ brokerName, ttlMs, provision }: ReplySenderSpec): TopicSpec {
  return {
    topic: brokerName,
    brokerTopic: brokerName,
    derivedName: brokerName,
    origin: brokerName,
    native: false,
    prefixed: true,
    partitions: 1,
    retention: { maxAgeMs: ttlMs },
    provision,
    role: 'topic',
  }
}

/** An ordinary producer: the address of the inbox is the message's key. */
function replySender(source: ConnectionSource, spec: ReplySenderSpec, sink: ProducerSink): ProducerDriver {
  const options: StreamProducerSettings = {
    publisherName: undefined,
    subEntrySize: 1,
    compression: 'none',
    filterHeader: undefined,
    bindingKeys: undefined,
  }
  return new StreamProducerDriver(source, { topic: topicOf(spec), options }, sink)
}

class StreamInbox implements ReplyInboxDriver {
  readonly #source: ConnectionSource
  readonly #spec: ReplyInboxSpec
  readonly #sink: ReplyInboxSink
  #client: StreamClient | undefined
  #handle: SubscriptionHandle | undefined
  /** Chunks that came before the subscription's own answer was dealt with. */
  #owed = 0
  /** Chunks are read one after the other. */
  #reading: Promise<void> = Promise.resolve()

  constructor(source: ConnectionSource, spec: ReplyInboxSpec, sink: ReplyInboxSink) {
    this.#source = source
    this.#spec = spec
    this.#sink = sink
  }

  async open(signal: AbortSignal): Promise<string> {
    const { brokerName, instance, progress } = this.#spec
    const client = await openClient(this.#source, this.#events(), signal)
    this.#client = client
    await ensureTopic(client, topicOf(this.#spec), this.#source)
    // A number from the start: after a loss, 'the next message' would leave out what came in between.
    progress.position ??= await whenAvailable(signal, () =>
      resolvePosition(client, brokerName, 'latest', () => 'latest'),
    )
    const offset = Offset.offset(BigInt(progress.position))
    const handle = await whenAvailable(signal, () =>
      client.subscribe(
        { stream: brokerName, offset, credit: CREDIT, consumerTag: `replies ${instance}` },
        { chunk: (bytes) => this.#take(bytes) },
      ),
    )
    this.#handle = handle
    if (this.#owed > 0) client.credit(handle, this.#owed)
    return instance
  }

  async close(): Promise<void> {
    await this.#client?.close()
  }

  #take(bytes: Buffer): void {
    let chunk: Chunk
    try {
      chunk = new Chunk(bytes)
    } catch (error) {
      return this.#sink.lost(error)
    }
    this.#reading = this.#reading
      .then(() => this.#readAll(chunk))
      .then(
        () => this.#credit(),
        (error: unknown) => this.#sink.lost(error),
      )
  }

  #credit(): void {
    if (this.#handle === undefined) this.#owed += 1
    else this.#client?.credit(this.#handle, 1)
  }

  /** What a batch holds that can't be read is no reply of ours. */
  async #readAll(chunk: Chunk): Promise<void> {
    for (;;) {
      this.#read(chunk)
      if (chunk.packed === undefined) return
      await unpack(chunk, this.#spec.brokerName, MAX_DECOMPRESSED_BYTES).catch(() => chunk.skipPacked())
    }
  }

  #read(chunk: Chunk): void {
    const { instance, brokerName, progress } = this.#spec
    const assignment = { topic: brokerName, partition: 0, epoch: 0 }
    for (const { offset, bytes } of chunk.read(ALL, Number(progress.position ?? 0))) {
      progress.position = offset + 1
      const native = new NativeMessage(brokerName, offset, chunk.timestamp, bytes)
      const { key, headers, bytes: payload, timestamp } = toDelivery(assignment, native, {})
      if (key === instance) this.#sink.reply({ headers, payload, timestamp })
    }
  }

  #events() {
    return {
      closed: (_: unknown, error: Error) => this.#sink.lost(error),
      confirmed: () => {},
      refused: () => {},
      streamChanged: (_: unknown, { code, stream }: { code: number; stream: string }) => {
        if (stream === this.#spec.brokerName)
          this.#sink.lost(new ServerError(code, `stream '${stream}' was deleted or its leader moved`))
      },
    }
  }
}
