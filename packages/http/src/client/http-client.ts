import { type Logger, readSecret } from '@streamswitch/core/driver'
import { Pool } from 'undici'
import type { HttpOptionValues } from '../options.js'
import { Subscriber, type SubscriberHost, type SubscriberSettings } from './subscriber.js'
import { TlsConnector } from './tls-connector.js'

/** How often overdue requests are looked for, in milliseconds, at most. */
const SWEEP_MS = 250

/** The sending side of a transport: subscribers, shared by its producers, and what they need to connect. */
export class HttpClient {
  readonly #options: HttpOptionValues
  readonly #logger: Logger
  readonly #createPool: (origin: string) => Pool
  readonly #subscribers = new Map<string, Subscriber>()
  #opening: Promise<void> | undefined
  readonly #connector: TlsConnector
  #authorization: string | undefined
  #renewing: Promise<boolean> | undefined
  #sweeper: NodeJS.Timeout | undefined

  /** @param createPool - makes the connections to one origin. Default: a pool of undici's. */
  constructor(options: HttpOptionValues, logger: Logger, createPool?: (origin: string) => Pool) {
    this.#options = options
    this.#logger = logger
    this.#connector = new TlsConnector(options, logger)
    this.#createPool = createPool ?? ((origin) => this.#undiciPool(origin))
  }

  /** Reads certificates and credentials. Rejects with INVALID_ARGUMENT or UNAUTHENTICATED where they can't be had. */
  open(): Promise<void> {
    this.#opening ??= this.#read().catch((error: unknown) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  /** The subscriber at an address. After `open`. `token` is what a plain receiver wants in place of the transport's credentials. */
  subscriber(settings: SubscriberSettings, token?: string): Subscriber {
    const key = JSON.stringify([settings.method, settings.url, settings.contentType, settings.batches, token])
    let subscriber = this.#subscribers.get(key)
    if (subscriber === undefined) {
      subscriber = new Subscriber(settings, this.#hostOf(settings, token))
      this.#subscribers.set(key, subscriber)
    }
    return subscriber
  }

  /** A subscriber has work: overdue requests are looked for until it has none. */
  watch(): void {
    const interval = Math.min(SWEEP_MS, Math.max(5, Math.floor(this.#options.responseTimeoutMs / 10)))
    this.#sweeper ??= setInterval(() => this.#sweep(), interval)
  }

  /** Drops every request and connection. */
  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    await Promise.allSettled([...this.#subscribers.values()].map((subscriber) => subscriber.destroy()))
    this.#subscribers.clear()
  }

  #hostOf(settings: SubscriberSettings, token: string | undefined): SubscriberHost {
    const own = settings.batches
    return {
      logger: this.#logger,
      limits: this.#options,
      pool: this.#createPool,
      authorization: () => (own ? this.#authorization : token === undefined ? undefined : `Bearer ${token}`),
      certificates: () => this.#connector.version,
      renewCertificates: (used) => this.#connector.renew(used),
      renewAuthorization: (used) => (own ? this.#renew(used) : Promise.resolve(false)),
    }
  }

  // One pool per subscriber, not per origin: a group whose handlers are slow holds its connections, never those of others.
  #undiciPool(origin: string): Pool {
    return new Pool(origin, {
      connections: this.#options.connections,
      pipelining: 1,
      connect: this.#connector.connect,
    })
  }

  async #read(): Promise<void> {
    await this.#connector.read()
    this.#authorization = await this.#readAuthorization()
  }

  async #readAuthorization(): Promise<string | undefined> {
    const { token, username, password } = this.#options
    const bearer = await readSecret(token, 'http', 'token')
    if (bearer !== undefined) return `Bearer ${bearer}`
    if (username === undefined) return undefined
    const secret = (await readSecret(password, 'http')) ?? ''
    return `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}`
  }

  async #renew(used: string | undefined): Promise<boolean> {
    // Another request has brought the new ones already.
    if (this.#authorization !== used) return true
    this.#renewing ??= this.#readAuthorization()
      .then(
        (authorization) => {
          this.#authorization = authorization
          return authorization !== used
        },
        (error: Error) => {
          this.#logger.warn(`http: a server requires other credentials, and none are set: ${error.message}`)
          return false
        },
      )
      .finally(() => {
        this.#renewing = undefined
      })
    return this.#renewing
  }

  #sweep(): void {
    const now = performance.now()
    this.#connector.refresh()
    const busy = [...this.#subscribers.values()].filter((subscriber) => subscriber.busy)
    for (const subscriber of busy) subscriber.sweep(now)
    if (busy.length > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }
}
