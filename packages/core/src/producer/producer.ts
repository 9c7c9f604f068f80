import { type Codec, type CodecName, findCodec } from '../codec.js'
import type { AdapterDefinition } from '../contract/adapter.js'
import type { StreamError } from '../errors.js'
import { Events, type LastError } from '../events.js'
import type { Reply } from '../feedback/reply.js'
import { type RequestOptions, Requests } from '../feedback/request.js'
import type { Message } from '../message.js'
import { type OptionsByAdapter, splitOptions } from '../options/adapter-options.js'
import { type CloseOptions, closeFields, signalFields, withOptions } from '../options/call-options.js'
import { readOptions } from '../options/resolve.js'
import type { Schema } from '../schema.js'
import { abortError, withSignal } from '../session.js'
import { openByAdapter } from '../transport/open-transport.js'
import type { Transport } from '../transport/transport.js'
import { BatchEntryOf } from './batch-entry.js'
import { BatchSend } from './batch-send.js'
import { EncodingQueue } from './encoding-queue.js'
import { PASSED_ON, usersHeaders } from './passed-on.js'
import type { PendingRecord, RecordOwner, SendReceipt } from './pending-record.js'
import type { ProducerEvents, ProducerStats } from './producer-events.js'
import { type ProducerOptionInput, producerFields, type SendOptions } from './producer-options.js'
import { type InternalSendOptions, RecordEncoder } from './record-encoder.js'
import { SendChain } from './send-chain.js'
import type { SendMiddleware } from './send-middleware.js'
import { batchFields } from './send-options.js'
import { SendPipeline } from './send-pipeline.js'

/**
 * Options of a producer. Adapter options are under the adapter's name: `{ redis: { … } }`; options for other adapters
 * are ignored, so that you can prepare a switch.
 */
export interface ProducerSettings<T = unknown> extends ProducerOptionInput, OptionsByAdapter<'producer'> {
  /**
   * How values become bytes: `json`, `bytes`, `text` or a codec of your own.
   * @default 'json'
   */
  readonly codec?: CodecName | Codec<T> | undefined
  /** A Standard Schema validator that each value must pass before it is sent. */
  readonly schema?: Schema<T> | undefined
  /**
   * Stands around each send, the first one outermost, within the transport's own: `(outgoing, next) => next()`.
   * @default []
   */
  readonly middleware?: readonly SendMiddleware<T>[] | undefined
}

/** Options of a producer that is created by its class. */
export interface ProducerOptions<T = unknown> extends ProducerSettings<T> {
  /** The transport to use. Default: the producer opens its own, from the environment, and closes it on `close()`. */
  readonly transport?: Transport
}

/** Creates producers of one transport. */
export type ProducerClass = new <T = unknown>(topic: string, options?: ProducerOptions<T>) => Producer<T>

/** Default time that `close` waits for outcomes, in milliseconds. */
const CLOSE_TIMEOUT_MS = 10_000

/**
 * Sends values to a topic. Behaves the same on every transport; adapters only add named subclasses.
 * All methods may be called concurrently. After `close`, sends reject with CLOSED.
 */
export abstract class Producer<T = unknown> implements AsyncDisposable {
  readonly topic: string
  readonly transport: Transport
  readonly #ownsTransport: boolean
  readonly #encoding: EncodingQueue
  readonly #pipeline: SendPipeline
  readonly #events: Events<ProducerEvents>
  readonly #single: RecordOwner
  #requests: Requests | undefined
  /** With middleware, every send goes through it. */
  readonly #chain: SendChain | undefined
  #closing: Promise<void> | undefined

  /** Checks topic and options; no I/O. Throws INVALID_ARGUMENT with every problem. */
  constructor(adapter: AdapterDefinition, topic: string, options: ProducerOptions<T> = {}) {
    const { transport, ...rest } = options
    const context = { subject: `producer '${String(topic)}'`, topic }
    const { common, own } = splitOptions(rest, producerFields, adapter, 'producerOptions', context)
    this.#ownsTransport = transport === undefined
    this.transport = transport ?? openByAdapter(adapter)
    this.topic = topic
    const { partitions, retention, nativeName } = common
    const spec = this.transport.topicSpec(topic, { partitions, retention, nativeName }, `producer ${topic}`)
    this.#events = new Events(this.transport.logger, `producer ${topic}`)
    this.#encoding = new EncodingQueue(new RecordEncoder(topic, common, adapter), this.transport.name, topic)
    this.#pipeline = new SendPipeline({
      transport: this.transport,
      spec,
      options: common,
      adapterOptions: own,
      contentType: findCodec(common.codec).contentType,
      onLost: (error) => this.#events.emit('reconnecting', { error }),
      onReady: (again) => this.#events.emit('ready', { again }),
    })
    this.#single = {
      accepted: (record) => record.resolve?.(this.#receipt(record)),
      failed: (record, error) => record.reject?.(error),
    }
    const middleware = [...(this.transport.middleware.send ?? []), ...common.middleware]
    if (middleware.length > 0) {
      this.#chain = new SendChain({
        middleware,
        topic,
        transport: this.transport.name,
        sendTimeoutMs: common.sendTimeoutMs,
      })
    }
    this.transport.attach(this)
  }

  /**
   * Connects and creates or checks the topic. Optional: the first `send` does it. Rejects with UNAVAILABLE,
   * UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND or CONFLICT; may be called again then.
   */
  async init(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = readOptions(signalFields, options, this.#call('init'))
    await withSignal(this.#pipeline.start(), signal)
  }

  /**
   * Sends a value; `undefined` is a tombstone. Resolves when the transport has durably accepted it, and never before.
   * Every send settles once: with a receipt, or rejected with a {@link StreamError}: SERIALIZATION, INVALID_ARGUMENT or
   * TOO_LARGE before anything is sent; TIMEOUT after `sendTimeoutMs` (outages included); RESOURCE_EXHAUSTED when the
   * buffer stayed full that long; NOT_FOUND, PERMISSION_DENIED, … as the broker reports; CLOSED; ABORTED by `signal`.
   */
  send(value: T, options?: SendOptions): Promise<SendReceipt> {
    if (this.#closing !== undefined) return Promise.reject(this.#closedError())
    if (this.#chain === undefined) return this.#deliver(value, options)
    return this.#chain.send(value, options, (changed, own) => this.#deliver(changed, own))
  }

  /**
   * Forwards a received message unchanged: its payload, key, headers, id and timestamp, regardless of this producer's
   * codec and schema. Between transports of one kind, data that only `message.native` shows (bytes that aren't text,
   * properties) is kept as well; otherwise the header `streamswitch-not-carried` names what the transport can't carry.
   * Reserved headers are not forwarded. Send middleware sees `message.value`. `key`, `headers` (added, or replacing the
   * message's own) and the other options are as for {@link send}, which also documents how this settles.
   */
  forward(message: Message, options: SendOptions = {}): Promise<SendReceipt> {
    const { id, key, timestamp } = message
    const passedOn: InternalSendOptions = {
      id,
      timestamp,
      ...(key === undefined ? undefined : { key }),
      ...options,
      headers: { ...usersHeaders(message.headers), ...options.headers },
      [PASSED_ON]: { message, part: 'message' },
    }
    return this.send(message.value as T, passedOn)
  }

  /**
   * Sends a value that requests a reply, and returns the reply immediately: read it by `await reply.read()` or `for
   * await (const part of reply)`. All errors, including those of sending, reject there. Send middleware runs as for
   * `send`, and requests keep their order with earlier sends; only the first request, which waits for the reply inbox
   * to open, may be overtaken by later sends. The request is sent at least once; a handler that returns nothing gives
   * an empty reply, and no answer at all a TIMEOUT after `timeoutMs` (default 30,000). Only one group should answer: if
   * several do, the first reply wins.
   * Throws INVALID_ARGUMENT for bad options, UNSUPPORTED when the transport for replies can't carry them, CLOSED after
   * `close`.
   *
   * @typeParam Part - type of the parts, unless `replySchema` or `replyCodec` determine it.
   */
  request<Part = unknown>(value: T, options: RequestOptions<Part> = {}): Reply<Part> {
    if (this.#closing !== undefined) throw this.#pipeline.error('CLOSED', 'the producer is closed', 'request')
    this.#requests ??= new Requests(this.transport, this.topic)
    return this.#requests.make(options, (sendOptions, replyTo) => this.#sendRequest(value, sendOptions, replyTo))
  }

  /**
   * Sends a list, in order. Entries are values, or `{ value, options }` as created by `batchEntry`. Resolves with
   * a receipt per value; rejects with a `BatchError` that lists each one that failed, once all have their outcome. The
   * others are accepted.
   */
  sendBatch(
    values: readonly (T | BatchEntryOf<T>)[],
    options: Pick<SendOptions, 'signal' | 'timeoutMs'> = {},
  ): Promise<SendReceipt[]> {
    return withOptions(batchFields, options, this.#call('sendBatch'), () => this.#sendBatch(values, options))
  }

  #sendBatch(
    values: readonly (T | BatchEntryOf<T>)[],
    options: Pick<SendOptions, 'signal' | 'timeoutMs'>,
  ): Promise<SendReceipt[]> {
    const batch = new BatchSend(values.length, (record) => this.#receipt(record), {
      transport: this.transport.name,
      topic: this.topic,
      operation: 'sendBatch',
    })
    for (const [index, entry] of values.entries()) {
      const { value, options: own } = entry instanceof BatchEntryOf ? entry : { value: entry, options: undefined }
      const merged =
        own === undefined && options.signal === undefined && options.timeoutMs === undefined
          ? undefined
          : { ...options, ...own }
      if (this.#closing !== undefined) {
        batch.fail(index, this.#closedError())
        continue
      }
      if (this.#chain !== undefined) {
        const deliver = (changed: unknown, own: SendOptions): Promise<SendReceipt> => this.#deliver(changed, own)
        this.#chain.send(value, merged, deliver).then(
          (receipt) => batch.succeed(index, receipt),
          (error: StreamError) => batch.fail(index, error),
        )
        continue
      }
      const submit = (record: PendingRecord): void => {
        record.index = index
        this.#submit(record, merged)
      }
      this.#encode(value, merged, batch, submit, (error) => batch.fail(index, error))
    }
    return batch.outcome
  }

  /** Resolves when every send made so far has an outcome, successful or not. */
  async flush(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = readOptions(signalFields, options, this.#call('flush'))
    if (this.#chain !== undefined) await withSignal(this.#chain.flush(), signal)
    await this.#encoding.drained
    await withSignal(this.#pipeline.flush(), signal)
  }

  /**
   * Waits up to `timeoutMs` (default 10,000), or until `signal` aborts, for outcomes, rejects sends without one with
   * CLOSED, disconnects. Idempotent: later calls return the first call's promise. Rejects with INVALID_ARGUMENT for bad
   * options; nothing is closed then.
   */
  close(options: CloseOptions = {}): Promise<void> {
    return withOptions(closeFields, options, this.#call('close'), ({ timeoutMs = CLOSE_TIMEOUT_MS, signal }) => {
      this.#closing ??= this.#close(timeoutMs, signal)
      return this.#closing
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** The error of the last `error` or `reconnecting` event, and when it happened. */
  get lastError(): LastError | undefined {
    return this.#events.lastError
  }

  stats(): ProducerStats {
    return this.#pipeline.stats()
  }

  on<Name extends keyof ProducerEvents>(name: Name, listener: (payload: ProducerEvents[Name]) => void): this {
    this.#events.on(name, listener)
    return this
  }

  off<Name extends keyof ProducerEvents>(name: Name, listener: (payload: ProducerEvents[Name]) => void): this {
    this.#events.off(name, listener)
    return this
  }

  /** Middleware wraps a request like any send, but can't change the reply address. */
  async #sendRequest(value: unknown, options: SendOptions, replyTo: string): Promise<void> {
    if (this.#chain === undefined) {
      await this.#deliver(value, options, replyTo)
      return
    }
    let sent = false
    await this.#chain.send(value, options, (changed, own) => {
      sent = true
      return this.#deliver(changed, own, replyTo)
    })
    if (!sent) throw this.#pipeline.error('ABORTED', 'a middleware did not send the request', 'request')
  }

  #deliver(value: unknown, options?: SendOptions, replyTo?: string): Promise<SendReceipt> {
    return new Promise((resolve, reject) => {
      const submit = (record: PendingRecord): void => {
        record.resolve = resolve
        record.reject = reject
        this.#submit(record, options)
      }
      this.#encode(value, options, this.#single, submit, reject, replyTo)
    })
  }

  #encode(
    value: unknown,
    options: SendOptions | undefined,
    owner: RecordOwner,
    submit: (record: PendingRecord) => void,
    reject: (error: StreamError) => void,
    replyTo?: string,
  ): void {
    if (this.#pipeline.closed) return reject(this.#closedError())
    this.#encoding.encode(value, options, owner, submit, reject, replyTo)
  }

  #submit(record: PendingRecord, options: SendOptions | undefined): void {
    const signal = options?.signal
    if (signal?.aborted === true) return record.owner.failed(record, abortError(signal))
    this.#pipeline.submit(record, options?.timeoutMs)
    if (signal === undefined) return
    const abort = (): void => this.#pipeline.abandon(record, abortError(signal))
    signal.addEventListener('abort', abort, { once: true })
    // A signal may live longer than millions of sends, and would keep each of them in memory.
    record.onSettled = () => signal.removeEventListener('abort', abort)
  }

  #call(operation: string) {
    const subject = `${operation} of producer '${this.topic}'`
    return { subject, transport: this.transport.name, topic: this.topic, operation }
  }

  #closedError(): StreamError {
    return this.#pipeline.error('CLOSED', 'the producer is closed', 'send')
  }

  #receipt(record: PendingRecord): SendReceipt {
    const offset = record.acceptedOffset
    return {
      id: record.id,
      topic: this.topic,
      partition: record.acceptedPartition,
      offset: offset === undefined ? undefined : String(offset),
    }
  }

  async #close(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const started = performance.now()
    this.#requests?.close()
    await this.#chain?.close(timeoutMs, signal)
    await this.#encoding.drained
    await this.#pipeline.close(Math.max(0, timeoutMs - (performance.now() - started)), signal)
    this.transport.detach(this)
    if (this.#ownsTransport) await this.transport.close()
  }
}
