import { type Codec, type CodecName, checkCodec, findCodec } from '../codec.js'
import { StreamError, toStreamError } from '../errors.js'
import { Problems } from '../options/problems.js'
import type { SendOptions } from '../producer/producer-options.js'
import { checkSendNames, checkSendOptions, SEND_OPTIONS } from '../producer/send-options.js'
import { checkSchema, type Schema } from '../schema.js'
import { requireFor } from '../transport/requirements.js'
import type { Transport } from '../transport/transport.js'
import { Reply } from './reply.js'
import type { ReplyInbox } from './reply-inbox.js'

const TIMEOUT_MS = 30_000

const REQUEST_OPTIONS = [...SEND_OPTIONS.filter((name) => name !== 'sequence'), 'replyCodec', 'replySchema']
/** Maximum delay of a timer. */
const MAX_TIMEOUT_MS = 2_147_483_647

/** Options of one `request`. */
export interface RequestOptions<Part = unknown> extends Omit<SendOptions, 'sequence'> {
  /**
   * Maximum time from the call to the end of the reply, in milliseconds: connecting, sending, handling and reading
   * together. Default 30,000.
   */
  readonly timeoutMs?: number
  /** Cancels the request: the reply rejects with ABORTED. The handler continues. */
  readonly signal?: AbortSignal
  /** Codec of the reply's parts: the answering loop's `replyCodec`. Default `json`. */
  readonly replyCodec?: CodecName | Codec<Part>
  /** A Standard Schema validator that each part must pass. */
  readonly replySchema?: Schema<Part>
}

/** What the requests of a producer require of a reply. */
interface Pending {
  end(error: StreamError): void
}

/** Sends a request whose reply goes to `replyTo`; rejects when it wasn't sent. */
type Send = (options: SendOptions, replyTo: string) => Promise<void>

/** The requests of one producer. */
export class Requests {
  readonly #transport: Transport
  readonly #topic: string
  readonly #pending = new Set<Pending>()

  /** Throws UNSUPPORTED when the transport for replies can't carry them. */
  constructor(transport: Transport, topic: string) {
    requireFor(transport.feedback.adapter, 'requestReply', 'request()', 'request')
    this.#transport = transport
    this.#topic = topic
  }

  /** Creates the reply and sends the request. Throws INVALID_ARGUMENT, with every problem of the options. */
  make<Part>(options: RequestOptions<Part>, send: Send): Reply<Part> {
    const { replyCodec = 'json', replySchema, timeoutMs = TIMEOUT_MS, ...own } = options
    this.#check(options)
    const inbox = this.#transport.feedback.replyInbox(this.#transport)
    const reply: Reply<Part> = new Reply<Part>({
      topic: this.#topic,
      transport: this.#transport.name,
      timeoutMs,
      signal: options.signal,
      codec: findCodec(replyCodec as Codec),
      schema: replySchema,
      over: () => {
        inbox.forget(id)
        this.#pending.delete(reply)
      },
    })
    const id = inbox.expect(reply)
    this.#pending.add(reply)
    this.#send(inbox, reply, id, { ...own, timeoutMs }, send)
    return reply
  }

  /** Ends all pending requests with CLOSED. */
  close(): void {
    for (const reply of [...this.#pending])
      reply.end(
        new StreamError(`producer ${this.#topic}: closed before the end of the reply`, {
          code: 'CLOSED',
          transport: this.#transport.name,
          topic: this.#topic,
          operation: 'request',
        }),
      )
  }

  #send(inbox: ReplyInbox, reply: Pending, id: string, options: SendOptions, send: Send): void {
    const start = (): Promise<void> => send(options, inbox.replyTo(id))
    // Synchronously if possible, so that requests and sends of one key keep their order.
    const sent = inbox.ready ? start() : inbox.open().then(start)
    const context = { transport: this.#transport.feedback.name, operation: 'request' }
    sent.catch((error: unknown) => reply.end(toStreamError(error, { code: 'UNAVAILABLE', ...context })))
  }

  #check<Part>(options: RequestOptions<Part>): void {
    const problems = new Problems()
    const { timeoutMs, replyCodec, replySchema } = options
    checkSendNames(options, problems, REQUEST_OPTIONS)
    if (typeof timeoutMs === 'number' && timeoutMs > MAX_TIMEOUT_MS)
      problems.add('timeoutMs', `must be at most ${MAX_TIMEOUT_MS}`)
    const codec = replyCodec === undefined ? undefined : checkCodec(replyCodec)
    if (typeof codec === 'string') problems.add('replyCodec', codec)
    const schema = replySchema === undefined ? undefined : checkSchema(replySchema)
    if (typeof schema === 'string') problems.add('replySchema', schema)
    problems.throwIfAny(`invalid options of a request to '${this.#topic}'`, this.#context())
    const { replyCodec: _codec, replySchema: _schema, ...own } = options
    checkSendOptions(own, this.#topic)
  }

  #context() {
    return { transport: this.#transport.name, topic: this.#topic, operation: 'request' }
  }
}
