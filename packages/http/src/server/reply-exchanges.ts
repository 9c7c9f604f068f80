import { randomBytes } from 'node:crypto'
import {
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

/** How much of a reply is kept for a caller whose connection breaks, and how long once it has ended, in milliseconds. */
const KEPT_BYTES = 1024 * 1024
const KEPT_MS = 60_000

/** One per process, also where several copies of this package are loaded: the answering loop may belong to another transport object. */
const EXCHANGES = Symbol.for('streamswitch.http.exchanges')

/** The response to a request that asks for a reply: parts go out as they are made. A resend of the request takes it over. */
export class ReplyExchange {
  readonly inbox: string
  readonly record: InboundRecord
  readonly #writer = new PartWriter()
  #reply: FastifyReply | undefined
  /** What was sent, for a caller that comes again; `undefined` once it is too much. */
  #frames: Buffer[] | undefined = []
  #bytes = 0
  #started = false
  #over = false

  constructor(inbox: string, record: InboundRecord) {
    this.inbox = inbox
    this.record = record
  }

  /** The response that parts go to from now on, and all that were sent before. */
  attach(reply: FastifyReply): void {
    this.#reply = reply
    if (!this.#started) return
    this.#open(reply)
    for (const frame of this.#frames ?? []) reply.raw.write(frame)
    if (this.#over) reply.raw.end()
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
      exchanges().delete(this.inbox)
      return false
    }
    if (this.#over) return true
    this.#over = true
    const end = this.#writer.end()
    this.#keep(end)
    this.#reply?.raw.end(end)
    setTimeout(() => exchanges().delete(this.inbox), KEPT_MS).unref()
    return true
  }

  #open(reply: FastifyReply): void {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': this.#writer.contentType, 'cache-control': 'no-store' })
    reply.raw.flushHeaders()
  }

  #keep(frame: Buffer): void {
    this.#bytes += frame.length
    if (this.#bytes > KEPT_BYTES) this.#frames = undefined
    this.#frames?.push(frame)
  }
}

/** The exchange of a request that wants its reply in the response: ours says so in its reply-to, any other client by `Accept: multipart/mixed`. */
export function exchangeOf(
  record: InboundRecord,
  accept: string | undefined,
  reply: FastifyReply,
): ReplyExchange | undefined {
  const replyTo = record.headers[WIRE_HEADERS.replyTo]
  const target = replyTo === undefined ? undefined : requestIdOf(replyTo)
  if (replyTo === undefined ? accept?.includes(REPLY_TYPE) !== true : target?.inbox.startsWith(`${RESPONSE}.`) !== true)
    return undefined
  const requestId = target?.requestId ?? ''
  const inbox = `${RESPONSE}.${requestId === '' ? randomBytes(12).toString('hex') : requestId}`
  let exchange = exchanges().get(inbox)
  if (exchange === undefined) {
    const headers = { ...record.headers, [WIRE_HEADERS.replyTo]: formatReplyAddress('http', inbox, requestId) }
    exchange = new ReplyExchange(inbox, { ...record, headers })
    exchanges().set(inbox, exchange)
  }
  exchange.attach(reply)
  return exchange
}

/** The exchange that an inbox is the name of, if it is going on in this process. */
export function findExchange(inbox: string): ReplyExchange | undefined {
  return exchanges().get(inbox)
}

export function gone(): StreamError {
  return new StreamError('nobody waits for the reply any more: its caller is gone', {
    code: 'NOT_FOUND',
    retryable: false,
    transport: 'http',
    operation: 'respond',
  })
}

function exchanges(): Map<string, ReplyExchange> {
  const holder = globalThis as { [EXCHANGES]?: Map<string, ReplyExchange> }
  holder[EXCHANGES] ??= new Map()
  return holder[EXCHANGES]
}
