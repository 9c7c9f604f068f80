import type { IncomingHttpHeaders } from 'node:http'
import { type IncomingReply, StreamError } from '@streamswitch/core/driver'
import { Exchange, type ExchangeEvents } from './exchange.js'
import type { ReceiverName } from './receiver-name.js'
import {
  type Awaited,
  type Refusal,
  refusalOfError,
  refusalOfProblem,
  refusalOfResponse,
  refusalOfTimeout,
} from './refusal.js'
import { type IncomingParts, partsOf } from './reply-inboxes.js'
import type { Parcel, Slice } from './run.js'

/** What a request asks of the subscriber it goes to. */
export interface RequestHost {
  readonly name: ReceiverName
  readonly maxReplyBytes: number
  /** The subscriber doesn't take batches: single messages from now on. */
  refusesBatches(reason: string): void
  /** 401: reads the credentials again. Resolves with true when they differ from those that were used. */
  renewCredentials(used: string | undefined): Promise<boolean>
  /** A certificate was refused: reads the files again. Resolves with true when they differ from those that were used. */
  renewCertificates(used: number): Promise<boolean>
  refused(refusal: Refusal): void
  /** Every parcel is settled. `refusals` has those that were not accepted, by position. */
  finished(request: OpenRequest): void
}

/** What a request proves itself with. */
export interface Credentials {
  readonly authorization: string | undefined
  /** Which certificates new connections had when it was sent. */
  readonly certificates: number
}

/** Reason of an abort: the response was late. */
export class LateResponse extends Error {
  readonly timeoutMs: number

  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`)
    this.timeoutMs = timeoutMs
  }
}

/** A request in flight, with one parcel or a batch of them. */
export class OpenRequest implements ExchangeEvents {
  readonly slices: readonly Slice[]
  readonly parcels: readonly Parcel[]
  readonly exchange: Exchange
  /** Takes the parts of the reply, where the response is one. */
  readonly part: ExchangeEvents['part']
  readonly refusals: (Refusal | undefined)[]
  /** The credentials that it carries. */
  readonly authorization: string | undefined
  readonly #certificates: number
  readonly #host: RequestHost
  readonly #settled: boolean[]
  readonly #batch: boolean
  readonly #reply: IncomingParts | undefined
  #open: number

  constructor(
    parcels: readonly Parcel[],
    slices: readonly Slice[],
    { authorization, certificates }: Credentials,
    host: RequestHost,
  ) {
    this.parcels = parcels
    this.authorization = authorization
    this.#certificates = certificates
    this.slices = slices
    this.#host = host
    this.#batch = parcels.length > 1
    this.#open = parcels.length
    this.#reply = this.#batch ? undefined : partsOf((parcels[0] as Parcel).record)
    const reply = this.#reply
    this.part = reply === undefined ? undefined : (part) => this.#takePart(reply, part)
    this.exchange = new Exchange(this)
    this.#settled = new Array<boolean>(parcels.length).fill(false)
    this.refusals = new Array<Refusal | undefined>(parcels.length).fill(undefined)
  }

  /** What a caller has let go of is read to its end, so that the connection can be used again, unless that is far. */
  #takePart(reply: IncomingParts, part: Omit<IncomingReply, 'timestamp'>): void {
    reply.part(part)
    if (reply.unwantedBytes > this.#host.maxReplyBytes)
      this.exchange.abort(new Error('the rest of the reply is no longer awaited'))
  }

  line(line: unknown): void {
    if (typeof line !== 'object' || line === null) return
    if ('accepted' in line && Array.isArray(line.accepted)) {
      for (const index of line.accepted) this.#settle(Number(index), undefined)
    } else if ('index' in line && typeof line.index === 'number') {
      this.#settle(line.index, refusalOfProblem(line as Record<string, unknown>, this.#awaited))
    }
  }

  end(status: number, headers: IncomingHttpHeaders, body: unknown): void {
    const success = status >= 200 && status < 300
    if (!this.#batch && success) {
      if (this.#reply !== undefined && Buffer.isBuffer(body) && body.length > 0) this.#reply.whole(body)
      this.#settle(0, undefined)
    } else if (this.#batch && (success || status === 413 || status === 415)) this.#batchEnded(status, headers)
    else if (status === 401) return this.#unauthenticated(headers, body)
    else this.#refuseAll(refusalOfResponse(status, headers, body, this.#awaited))
    this.#finish()
  }

  error(error: unknown): void {
    const { url } = this.#host.name
    if (this.#reply?.started === true && this.#open > 0) {
      this.#reply.broken(error)
      this.#settle(0, undefined)
    } else if (this.#open > 0) {
      const refusal =
        error instanceof LateResponse
          ? refusalOfTimeout(url, this.#topic, error.timeoutMs)
          : refusalOfError(error, url, this.#topic)
      // Of a connection, not of a response: a certificate, of this side or the other.
      if (refusal.error.code === 'UNAUTHENTICATED')
        return this.#refuseUnlessRenewed(refusal, 'certificates', this.#renewCertificates())
      this.#refuseAll(refusal)
    }
    this.#finish()
  }

  get maxReplyBytes(): number {
    return this.#host.maxReplyBytes
  }

  get ignoresSuccess(): boolean {
    return !this.#batch && this.#reply === undefined
  }

  get #awaited(): Awaited {
    const { name } = this.#host
    return {
      url: name.url,
      topic: this.#topic,
      reply: this.#reply !== undefined,
      hide: (said) => name.hide(said, this.authorization),
    }
  }

  get #topic(): string {
    return this.parcels[0]?.topic ?? ''
  }

  #batchEnded(status: number, headers: IncomingHttpHeaders): void {
    if (this.#open === 0) return
    const understood = String(headers['content-type'] ?? '').startsWith('application/x-ndjson')
    if (!understood) this.#host.refusesBatches(`a batch of ${this.parcels.length} messages was answered ${status}`)
    const message = `${this.#host.name.url}: ${understood ? 'the response ended without an outcome of this message' : 'batches are not accepted there, sending single messages'}`
    this.#refuseAll({
      ...refusalOfProblem({ status: 502 }, this.#awaited),
      elsewhere: false,
      ambiguous: understood,
      error: new StreamError(message, {
        code: 'UNAVAILABLE',
        transport: 'http',
        operation: 'send',
        topic: this.#topic,
      }),
    })
  }

  #unauthenticated(headers: IncomingHttpHeaders, body: unknown): void {
    const refusal = refusalOfResponse(401, headers, body, this.#awaited)
    const renewals = [this.#host.renewCredentials(this.authorization), this.#renewCertificates()]
    const renewal = Promise.all(renewals).then((changes) => changes.includes(true))
    this.#refuseUnlessRenewed(refusal, 'credentials', renewal)
  }

  #renewCertificates(): Promise<boolean> {
    return this.#host.renewCertificates(this.#certificates)
  }

  /** Refused for good, unless there are others to try it with. */
  #refuseUnlessRenewed(refusal: Refusal, what: string, renewal: Promise<boolean>): void {
    void renewal.then((changed) => {
      const { code, message } = refusal.error
      const error = changed
        ? new StreamError(`${message}; the ${what} have changed, trying again`, {
            code,
            retryable: true,
            transport: 'http',
            operation: 'send',
            topic: this.#topic,
          })
        : refusal.error
      this.#refuseAll({ ...refusal, error })
      this.#finish()
    })
  }

  #refuseAll(refusal: Refusal): void {
    for (let index = 0; index < this.parcels.length; index += 1) this.#settle(index, refusal)
  }

  #settle(index: number, refusal: Refusal | undefined): void {
    const parcel = this.parcels[index]
    if (parcel === undefined || this.#settled[index] === true) return
    this.#settled[index] = true
    this.#open -= 1
    this.refusals[index] = refusal
    if (refusal !== undefined) this.#host.refused(refusal)
    parcel.settle(refusal)
  }

  #finish(): void {
    this.#host.finished(this)
  }
}
