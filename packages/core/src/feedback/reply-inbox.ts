import { randomBytes } from 'node:crypto'
import { RECONNECT_BACKOFF } from '../backoff.js'
import type { IncomingReply, ReplyChannel, ReplyInboxDriver, ReplyInboxSpec } from '../contract/replies.js'
import { StreamError, toStreamError } from '../errors.js'
import { Session } from '../session.js'
import type { Transport } from '../transport/transport.js'
import { formatReplyAddress } from './reply-address.js'
import { answeredRequest, type ReplyPart, readPart } from './reply-part.js'
import { newRequestId } from './request-ids.js'
import { REPLIES } from './topic-replies.js'

const CONNECT_TIMEOUT_MS = 10_000
const PROBE_INTERVAL_MS = 5_000

/** A pending reply. */
interface Waiting {
  take(part: ReplyPart): void
  end(error: StreamError): void
}

/**
 * The reply inbox of a transport: opened at the first request, shared by all its producers. A reply for which no
 * request is pending is dropped, and so is an expired one.
 */
export class ReplyInbox {
  readonly #transport: Transport
  readonly #channel: ReplyChannel
  readonly #spec: ReplyInboxSpec
  readonly #session: Session<ReplyInboxDriver & { close(): Promise<void> }, string>
  readonly #waiting = new Map<string, Waiting>()
  #address: string | undefined
  #closed = false

  constructor(transport: Transport, channel: ReplyChannel, settings: { readonly ttlMs: number }) {
    this.#transport = transport
    this.#channel = channel
    const { brokerTopic, provision } = transport.topicSpec(REPLIES)
    this.#spec = {
      instance: randomBytes(12).toString('hex'),
      brokerName: brokerTopic,
      ttlMs: settings.ttlMs,
      provision,
      progress: { position: undefined },
    }
    this.#session = new Session({
      subject: `replies on ${transport.name}`,
      transport: transport.name,
      topic: REPLIES,
      backoff: RECONNECT_BACKOFF,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      probeIntervalMs: PROBE_INTERVAL_MS,
      logger: transport.logger,
      create: (lost) => this.#create(lost),
      classify: (error) => transport.adapter.classifyError(error, 'request', REPLIES),
      ready: (_driver, address) => {
        this.#address = address
      },
      lost: async () => {},
    })
  }

  /** Number of pending replies. */
  get size(): number {
    return this.#waiting.size
  }

  /** True when a request can be addressed immediately. */
  get ready(): boolean {
    return this.#address !== undefined
  }

  /** Opens the inbox, once. Rejects with a classified error; may be called again then. */
  open(): Promise<void> {
    return this.#session.start()
  }

  /** Registers a new request. Returns its id. */
  expect(waiting: Waiting): string {
    const id = newRequestId()
    this.#waiting.set(id, waiting)
    if (this.#closed) queueMicrotask(() => waiting.end(this.#closedError()))
    return id
  }

  forget(id: string): void {
    this.#waiting.delete(id)
  }

  /** Returns the reply address of a request, once the inbox is open. */
  replyTo(id: string): string {
    return formatReplyAddress(this.#transport.name, this.#address as string, `${this.#spec.instance}.${id}`)
  }

  /** Ends pending replies with CLOSED, and removes the inbox. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true
    for (const waiting of [...this.#waiting.values()]) waiting.end(this.#closedError())
    await this.#session.close()
  }

  #create(lost: (error: unknown) => void): ReplyInboxDriver & { close(): Promise<void> } {
    let open = true
    const sink = { reply: (reply: IncomingReply) => open && this.#take(reply), lost }
    const driver = this.#channel.inbox(this.#spec, sink)
    return {
      open: (signal) => driver.open(signal),
      ...(driver.probe === undefined ? {} : { probe: () => driver.probe?.() ?? Promise.resolve() }),
      close: () => {
        open = false
        return driver.close(this.#closed)
      },
    }
  }

  #take(reply: IncomingReply): boolean {
    const request = answeredRequest(reply)
    const own = `${this.#spec.instance}.`
    if (request === undefined || !request.startsWith(own)) return false
    const id = request.slice(own.length)
    const waiting = this.#waiting.get(id)
    if (waiting === undefined || Date.now() - reply.timestamp > this.#spec.ttlMs) return false
    try {
      waiting.take(readPart(reply))
    } catch (error) {
      waiting.end(toStreamError(error, { code: 'UNKNOWN', transport: this.#transport.name, operation: 'request' }))
    }
    return this.#waiting.has(id)
  }

  #closedError(): StreamError {
    return new StreamError(`the ${this.#transport.name} transport was closed before the end of the reply`, {
      code: 'CLOSED',
      transport: this.#transport.name,
      operation: 'request',
    })
  }
}
