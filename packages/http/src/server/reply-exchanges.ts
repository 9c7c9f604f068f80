import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import {
  arrivedReplyTo,
  formatReplyAddress,
  type OutgoingRecord,
  requestIdOf,
  StreamError,
  WIRE_HEADERS,
} from '@streamswitch/core/driver'
import type { FastifyReply } from 'fastify'
import type { InboundRecord } from '../message.js'
import { PartWriter, REPLY_TYPE } from '../wire/reply-parts.js'

/** What inboxes are called that are the response to a request. */
export const RESPONSE = 'response'

/**
 * How much of a reply is kept for a caller whose connection breaks, of all replies together, and how long once it has
 * ended, in milliseconds.
 */
const KEPT_BYTES = 1024 * 1024
const ALL_KEPT_BYTES = 32 * 1024 * 1024
const KEPT_MS = 60_000
/** Maximum number of known replies; beyond it, the oldest ended ones are forgotten. */
const MAX_EXCHANGES = 10_000

/** One per process, also where several copies of this package are loaded: the answering loop may belong to another transport object. */
const EXCHANGES = Symbol.for('streamswitch.http.exchanges')

/** The replies of a process that are in progress, or are kept in case their callers ask again. */
class Exchanges {
  readonly #byInbox = new Map<string, ReplyExchange>()
  /** Those with something kept, the oldest first. */
  readonly #keeping = new Set<ReplyExchange>()
  /** The last exchange of each connection. */
  readonly #bySocket = new WeakMap<Socket, ReplyExchange>()
  #bytes = 0

  get(inbox: string): ReplyExchange | undefined {
    return this.#byInbox.get(inbox)
  }

  add(exchange: ReplyExchange): void {
    this.#byInbox.set(exchange.inbox, exchange)
    if (this.#byInbox.size <= MAX_EXCHANGES) return
    for (const oldest of this.#byInbox.values()) if (oldest.isOver) return this.delete(oldest)
  }

  delete(exchange: ReplyExchange): void {
    exchange.dispose()
    if (this.#byInbox.get(exchange.inbox) === exchange) this.#byInbox.delete(exchange.inbox)
  }

  /** Replies kept for callers that reconnect, and the number of known replies. */
  get kept(): { readonly bytes: number; readonly replies: number } {
    return { bytes: this.#bytes, replies: this.#byInbox.size }
  }

  answersOn(socket: Socket, exchange: ReplyExchange): void {
    this.#bySocket.set(socket, exchange)
  }

  /** A caller asks something new on this connection: it has taken the whole response before. */
  taken(socket: Socket): void {
    const exchange = this.#bySocket.get(socket)
    if (exchange === undefined) return
    this.#bySocket.delete(socket)
    if (exchange.isOver) this.delete(exchange)
  }

  /** More is kept of an exchange (or less, where negative). Beyond the limit, the oldest are given up. */
  count(exchange: ReplyExchange, bytes: number): void {
    this.#bytes += bytes
    if (bytes > 0) this.#keeping.add(exchange)
    else this.#keeping.delete(exchange)
    for (const oldest of this.#keeping) {
      if (this.#bytes <= ALL_KEPT_BYTES) return
      oldest.forget()
    }
  }
}

/** The response to a request that asks for a reply: parts go out as they are made. A resend of the request takes it over. */
export class ReplyExchange {
  readonly inbox: string
  /** The caller: the reply is given to no other one. */
  readonly sender: string | undefined
  /** The request, with the address that its reply goes to; `undefined` once it has ended. */
  record: InboundRecord | undefined
  readonly #isResendable: boolean
  readonly #writer = new PartWriter()
  #reply: FastifyReply | undefined
  /** What was sent, for a caller that comes again; `undefined` where none can, or once it is too much. */
  #frames: Buffer[] | undefined
  #bytes = 0
  #started = false
  #over = false
  #end: NodeJS.Timeout | undefined

  /** @param isResendable - its caller can name it again */
  constructor(inbox: string, record: InboundRecord, isResendable: boolean) {
    this.inbox = inbox
    this.sender = record.sender
    this.record = record
    this.#isResendable = isResendable
    this.#frames = isResendable ? [] : undefined
  }

  /** The handler has answered, and its last part was written. */
  get isOver(): boolean {
    return this.#over
  }

  /** The response that parts go to from now on, and all that were sent before. False where those aren't kept any more. */
  attach(reply: FastifyReply): boolean {
    if (this.#started && this.#frames === undefined) return false
    exchanges().answersOn(reply.request.raw.socket, this)
    if (this.#started) this.#open(reply)
    for (const frame of this.#frames ?? []) reply.raw.write(frame)
    if (this.#over) reply.raw.end()
    else this.#reply = reply
    return true
  }

  /** Resolves when the socket has room again. Rejects with NOT_FOUND when the caller is gone and more has gathered than is kept. */
  async send({ headers = {}, payload }: OutgoingRecord): Promise<void> {
    if (this.#over) throw gone()
    const response = this.#reply?.raw
    const connected = response !== undefined && !response.destroyed
    if (!this.#started && connected) this.#open(this.#reply as FastifyReply)
    this.#started = true
    const frame = this.#writer.part(headers, payload)
    this.#keep(frame)
    if (!connected) {
      if (this.#frames === undefined) throw gone()
      return
    }
    if (response.write(frame)) return
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        response.off('drain', settle)
        response.off('close', settle)
        resolve()
      }
      response.once('drain', settle)
      response.once('close', settle)
    })
  }

  /** The request has its outcome. False where nothing was sent: the response is still to be made. */
  finish(): boolean {
    if (!this.#started) {
      exchanges().delete(this)
      return false
    }
    if (this.#over) return true
    this.#over = true
    const end = this.#writer.end()
    this.#keep(end)
    this.#reply?.raw.end(end)
    // They hold the request with its payload.
    this.#reply = undefined
    this.record = undefined
    // Known for longer than anything is kept of it: who asks again must not get an empty reply.
    if (this.#isResendable) this.#end = setTimeout(() => exchanges().delete(this), KEPT_MS).unref()
    else exchanges().delete(this)
    return true
  }

  dispose(): void {
    clearTimeout(this.#end)
    this.forget()
  }

  /** Keeps nothing for a caller that comes again. */
  forget(): void {
    this.#frames = undefined
    const bytes = this.#bytes
    this.#bytes = 0
    exchanges().count(this, -bytes)
  }

  #open(reply: FastifyReply): void {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': this.#writer.contentType, 'cache-control': 'no-store' })
    reply.raw.flushHeaders()
  }

  #keep(frame: Buffer): void {
    if (this.#frames === undefined) return
    if (this.#bytes + frame.length > KEPT_BYTES) return this.forget()
    this.#frames.push(frame)
    this.#bytes += frame.length
    exchanges().count(this, frame.length)
  }
}

/**
 * The exchange of a request that wants its reply in the response: ours says so in its reply-to, any other client by
 * `Accept: multipart/mixed`. `'lost'`: there was a reply, and what was sent of it isn't kept any more.
 */
export function exchangeOf(
  record: InboundRecord,
  accept: string | undefined,
  reply: FastifyReply,
): ReplyExchange | 'lost' | undefined {
  const replyTo = arrivedReplyTo(record.headers[WIRE_HEADERS.replyTo])
  const target = replyTo === undefined ? undefined : requestIdOf(replyTo)
  if (replyTo === undefined ? accept?.includes(REPLY_TYPE) !== true : target?.inbox.startsWith(`${RESPONSE}.`) !== true)
    return undefined
  const requestId = target?.requestId ?? ''
  const inbox = `${RESPONSE}.${requestId === '' ? randomBytes(12).toString('hex') : requestId}`
  let exchange = exchanges().get(inbox)
  if (exchange === undefined) {
    const headers = { ...record.headers, [WIRE_HEADERS.replyTo]: formatReplyAddress('http', inbox, requestId) }
    exchange = new ReplyExchange(inbox, { ...record, headers }, requestId !== '')
    exchanges().add(exchange)
  } else if (exchange.sender !== record.sender) return 'lost'
  return exchange.attach(reply) ? exchange : 'lost'
}

/** A client sends a request on this connection: it has taken the response to the one before. */
export function noteRequest(socket: Socket): void {
  exchanges().taken(socket)
}

/** The exchange that an inbox is the name of, if it is going on in this process. */
export function findExchange(inbox: string): ReplyExchange | undefined {
  return exchanges().get(inbox)
}

export function gone(): StreamError {
  return new StreamError('no request is pending for the reply: its caller is gone', {
    code: 'NOT_FOUND',
    retryable: false,
    transport: 'http',
    operation: 'respond',
  })
}

function exchanges(): Exchanges {
  const holder = globalThis as { [EXCHANGES]?: Exchanges }
  holder[EXCHANGES] ??= new Exchanges()
  return holder[EXCHANGES]
}
