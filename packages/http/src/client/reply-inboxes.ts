import {
  type Headers,
  type IncomingReply,
  messageOf,
  type OutgoingRecord,
  type ReplyInboxSink,
  requestIdOf,
  StreamError,
  WIRE_HEADERS,
} from '@streamswitch/core/driver'
import { endHeaders } from '../wire/reply-parts.js'

/** What a part counts for besides its payload. */
const PART_BYTES = 256

/** One set per process, also where several copies of this package are loaded. */
const INBOXES = Symbol.for('streamswitch.http.inboxes')

/** Returns the open inboxes of this process, by their addresses. */
export function inboxes(): Map<string, ReplyInboxSink> {
  const holder = globalThis as { [INBOXES]?: Map<string, ReplyInboxSink> }
  holder[INBOXES] ??= new Map()
  return holder[INBOXES]
}

/** The reply to one request, as it comes in its responses: of several subscribers, the first that answers counts (core sees to that). */
export class IncomingParts {
  readonly #requestId: string
  readonly #sink: ReplyInboxSink | undefined
  #last: Headers | undefined
  #unwantedBytes = 0

  constructor(requestId: string, sink: ReplyInboxSink | undefined) {
    this.#requestId = requestId
    this.#sink = sink
  }

  /** Whether anything has come. */
  get started(): boolean {
    return this.#last !== undefined
  }

  /** Number of bytes received for replies that are no longer awaited. */
  get unwantedBytes(): number {
    return this.#unwantedBytes
  }

  part({ headers, payload }: Omit<IncomingReply, 'timestamp'>): void {
    this.#last = headers
    this.#take(headers, payload)
  }

  /** A plain receiver's response: its body is the reply. */
  whole(body: Buffer): void {
    this.#last = {}
    this.#take({}, body.length === 0 ? undefined : body)
  }

  /** There was no answer. */
  nothing(): void {
    if (!this.started) this.#take(endHeaders(undefined, this.#requestId), undefined)
  }

  /** The response broke off after its first part: another would be that of another start of the handler. */
  broken(reason: unknown): void {
    const text = messageOf(reason)
    const error = new StreamError(`the reply broke off: ${text}`, {
      code: 'UNAVAILABLE',
      transport: 'http',
      operation: 'request',
    })
    this.#take(endHeaders(this.#last, this.#requestId, error), undefined)
  }

  #take(headers: Headers, payload: Buffer | undefined): void {
    const reply = { requestId: this.#requestId, headers, payload, timestamp: Date.now() }
    if (this.#sink?.reply(reply) !== true) this.#unwantedBytes += (payload?.length ?? 0) + PART_BYTES
  }
}

const parts = new WeakMap<OutgoingRecord, IncomingParts>()

/** Where the parts of a record's reply go; `undefined` where the response isn't its reply. */
export function partsOf(record: OutgoingRecord): IncomingParts | undefined {
  const replyTo = record.headers?.[WIRE_HEADERS.replyTo]
  if (replyTo === undefined) return undefined
  const known = parts.get(record)
  if (known !== undefined) return known
  const target = requestIdOf(replyTo)
  if (target === undefined || !target.inbox.startsWith('response.')) return undefined
  const made = new IncomingParts(target.requestId, inboxes().get(target.inbox))
  parts.set(record, made)
  return made
}
