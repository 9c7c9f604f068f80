import { Deque, type Logger, StreamError } from '@streamswitch/core/driver'
import type { Pool } from 'undici'
import { toQuery, toRequestHeaders } from '../message.js'
import { BATCH_TYPE, encodeBatch, frameEntries, frameOverhead } from '../wire/batch-frames.js'
import { MAX_BATCH_ENTRIES } from '../wire/limits.js'
import { ReceiverName } from './receiver-name.js'
import { type Refusal, refusalBehind, refusalUnsent } from './refusal.js'
import { hashText } from './rendezvous.js'
import { partsOf } from './reply-inboxes.js'
import { LateResponse, OpenRequest, type RequestHost } from './request.js'
import type { Parcel, Run, Slice } from './run.js'

export interface SubscriberSettings {
  readonly url: string
  readonly method: 'GET' | 'POST'
  /** False for plain HTTP receivers. */
  readonly batches: boolean
  /** In place of the producer's. */
  readonly contentType: string | undefined
}

/** What a subscriber asks of the transport. */
export interface SubscriberHost {
  readonly logger: Logger
  readonly limits: {
    readonly connections: number
    readonly responseTimeoutMs: number
    readonly maxRequestRecords: number
    readonly maxRequestBytes: number
    readonly maxPayloadBytes: number
  }
  pool(origin: string): Pool
  /** The value of the Authorization header. */
  authorization(): string | undefined
  renewAuthorization(used: string | undefined): Promise<boolean>
  /** Which certificates connections begin with now. */
  certificates(): number
  renewCertificates(used: number): Promise<boolean>
}

/** How long a subscriber that couldn't be reached is avoided where there are replicas, in milliseconds. */
const AVOID_MS = 1_000

/**
 * One address that messages are sent to. Messages that are ready at the same time are sent together; up to
 * `connections` requests are in flight at once, further messages are gathered meanwhile.
 */
export class Subscriber implements RequestHost {
  readonly name: ReceiverName
  readonly hash: number
  readonly #settings: SubscriberSettings
  readonly #host: SubscriberHost
  readonly #pool: Pool
  readonly #path: string
  readonly #outbox = new Deque<Run>()
  readonly #requests = new Set<OpenRequest>()
  #batches: boolean
  #scheduled = false
  #avoidUntil = 0

  constructor(settings: SubscriberSettings, host: SubscriberHost) {
    const url = new URL(settings.url)
    this.name = new ReceiverName(settings.url)
    this.hash = hashText(settings.url)
    this.#settings = settings
    this.#host = host
    this.#batches = settings.batches
    this.#path = url.pathname + url.search
    this.#pool = host.pool(url.origin)
  }

  get maxReplyBytes(): number {
    return this.#host.limits.maxPayloadBytes
  }

  /** Whether a replica should be preferred now. */
  get avoided(): boolean {
    return this.#avoidUntil > performance.now()
  }

  get busy(): boolean {
    return this.#requests.size > 0 || this.#outbox.length > 0
  }

  /**
   * Sends them once the current turn of the event loop is over, so that other messages that become ready in it share
   * their request.
   */
  add(run: Run): void {
    this.#outbox.push(run)
    this.#schedule()
  }

  /** Gives up what has taken too long. `now` is that of `performance.now()`. */
  sweep(now: number): void {
    const { responseTimeoutMs } = this.#host.limits
    for (const request of [...this.#requests]) {
      if (now - request.exchange.heardAt >= responseTimeoutMs)
        request.exchange.abort(new LateResponse(responseTimeoutMs))
    }
    for (
      let run = this.#outbox.peek();
      run !== undefined && (run.cancelled || now - run.queuedAt >= responseTimeoutMs);
      run = this.#outbox.peek()
    ) {
      this.#outbox.shift()
      this.#refuseRest(
        run,
        refusalUnsent(
          this.#error(
            'UNAVAILABLE',
            `no free connection within ${responseTimeoutMs} ms: all ${this.#host.limits.connections} wait for responses`,
          ),
        ),
      )
    }
  }

  /** Ends everything at once. */
  async destroy(): Promise<void> {
    for (const request of [...this.#requests]) request.exchange.abort(this.#error('CLOSED', 'the transport is closed'))
    for (let run = this.#outbox.shift(); run !== undefined; run = this.#outbox.shift())
      this.#refuseRest(run, refusalUnsent(this.#error('CLOSED', 'the transport is closed')))
    await this.#pool.destroy()
  }

  // What requests ask of it.

  refusesBatches(reason: string): void {
    if (!this.#batches) return
    this.#batches = false
    this.#host.logger.warn(`${this.name.url}: ${reason}: it receives single messages from now on`)
  }

  renewCredentials(used: string | undefined): Promise<boolean> {
    return this.#host.renewAuthorization(used)
  }

  renewCertificates(used: number): Promise<boolean> {
    return this.#host.renewCertificates(used)
  }

  refused(refusal: Refusal): void {
    if (refusal.elsewhere) this.#avoidUntil = performance.now() + AVOID_MS
  }

  finished(request: OpenRequest): void {
    if (!this.#requests.delete(request)) return
    for (const slice of request.slices) this.#sliceEnded(slice, request)
    if (this.#outbox.length > 0) this.#schedule()
  }

  #sliceEnded({ run, start, end }: Slice, request: OpenRequest): void {
    if (run.left === 0) return
    const failed = request.refusals.slice(start, end).find((refusal) => refusal !== undefined)
    if (failed === undefined) this.#outbox.unshift(run)
    else this.#refuseRest(run, refusalBehind(failed.error))
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    while (this.#outbox.length > 0 && this.#requests.size < this.#host.limits.connections) {
      const parcels: Parcel[] = []
      const slices = this.#take(parcels)
      if (parcels.length > 0) this.#send(parcels, slices)
    }
  }

  #take(parcels: Parcel[]): Slice[] {
    const slices: Slice[] = []
    const room: Room = {
      records: this.#batches ? this.#host.limits.maxRequestRecords : 1,
      bytes: this.#host.limits.maxRequestBytes,
      entries: MAX_BATCH_ENTRIES,
    }
    for (let run = this.#outbox.peek(); run !== undefined && parcels.length < room.records; run = this.#outbox.peek()) {
      if (run.cancelled) {
        this.#outbox.shift()
        this.#refuseRest(run, refusalUnsent(this.#error('CLOSED', 'the producer is closed')))
        continue
      }
      const start = parcels.length
      takeFrom(run, parcels, room)
      if (parcels.length === start) break
      run.next += parcels.length - start
      slices.push({ run, start, end: parcels.length })
      this.#outbox.shift()
      if (run.left > 0) break
    }
    return slices
  }

  #send(parcels: readonly Parcel[], slices: readonly Slice[]): void {
    const certificates = this.#host.certificates()
    const request = new OpenRequest(parcels, slices, { authorization: this.#host.authorization(), certificates }, this)
    this.#requests.add(request)
    try {
      this.#pool.dispatch(
        { ...this.#content(parcels, request.authorization), headersTimeout: 0, bodyTimeout: 0 },
        request.exchange,
      )
    } catch (error) {
      request.error(error)
    }
  }

  #content(parcels: readonly Parcel[], authorization: string | undefined) {
    const first = parcels[0] as Parcel
    const credentials = authorization === undefined ? [] : ['authorization', authorization]
    if (parcels.length > 1) {
      return {
        path: this.#path,
        method: 'POST' as const,
        headers: ['content-type', BATCH_TYPE, ...credentials],
        body: encodeBatch(parcels),
      }
    }
    const { method } = this.#settings
    if (method === 'GET') {
      const query = toQuery(first.record).toString()
      const path = query === '' ? this.#path : `${this.#path}${this.#path.includes('?') ? '&' : '?'}${query}`
      return { path, method, headers: [...toRequestHeaders(first, undefined), ...credentials], body: null }
    }
    const headers = toRequestHeaders(first, this.#settings.contentType ?? first.contentType)
    return { path: this.#path, method, headers: [...headers, ...credentials], body: first.record.payload ?? null }
  }

  #refuseRest(run: Run, refusal: Refusal): void {
    const rest = run.parcels.slice(run.next)
    run.next = run.parcels.length
    for (const parcel of rest) parcel.settle(refusal)
  }

  #error(code: 'UNAVAILABLE' | 'CLOSED', message: string): StreamError {
    return new StreamError(`${this.name.url}: ${message}`, { code, transport: 'http', operation: 'send' })
  }
}

/** What still fits into a request. */
interface Room {
  records: number
  bytes: number
  /** Headers and groups. */
  entries: number
}

function takeFrom(run: Run, parcels: Parcel[], room: Room): void {
  for (let at = run.next; at < run.parcels.length && parcels.length < room.records; at += 1) {
    const parcel = run.parcels[at] as Parcel
    // The response to a request is its reply: it goes alone.
    const alone = partsOf(parcel.record) !== undefined
    if (alone && parcels.length > 0) break
    if (alone) room.records = 1
    room.bytes -= frameOverhead(parcel) + (parcel.record.payload?.length ?? 0)
    room.entries -= frameEntries(parcel)
    if ((room.bytes < 0 || room.entries < 0) && parcels.length > 0) break
    parcels.push(parcel)
  }
}
