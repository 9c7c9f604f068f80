import type { ConsumerLoop } from '../consumer/consumer-loop.js'
import type { ConsumerSettings } from '../consumer/consumer-options.js'
import type { CapabilityName } from '../contract/capabilities.js'
import { StreamError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Handler, Listener } from '../message.js'
import { type CloseOptions, closeFields, requireNames, withOptions } from '../options/call-options.js'
import { loadAdapterNow } from '../registry/registry.js'
import { requireCapabilities } from '../transport/requirements.js'
import type { Transport } from '../transport/transport.js'
import { transportFields } from '../transport/transport-options.js'
import { type Route, type RouteOptions, Router, requireLoopNames } from './router.js'
import { type TransportChoice, TransportPool } from './transport-pool.js'

/**
 * Options of a {@link ConsumerFactory}. Any other property is an option of its transport, by its documented name:
 * `port`, `clientId`, …
 */
export interface ConsumerFactoryOptions {
  /** Group of every route that doesn't set one. */
  readonly group?: string
  /** Default options of every loop; a route's own options take precedence. */
  readonly loops?: Partial<ConsumerSettings>
  /** Capabilities that the transport must have; the constructor throws UNSUPPORTED when one is missing. */
  readonly requires?: readonly CapabilityName[]
  /** Environment variables to use instead of `process.env`. */
  readonly environment?: NodeJS.ProcessEnv
  /** Where to tell what happens. Default: warnings and errors to standard error. */
  readonly logger?: Logger
  /** Transport for dead letters, when the main transport can't store them. */
  readonly deadLetterTransport?: TransportChoice
  readonly [transportOption: string]: unknown
}

const FACTORY_OPTIONS = ['group', 'loops', 'requires', 'environment', 'logger', 'deadLetterTransport']

/**
 * Creates the consumer loops of one transport by routing queues to handlers: `consumers.route('orders', handler)` is
 * all that a queue needs. Nothing is connected until a {@link ConsumerRunner} or the loop's own `run` starts it.
 */
export class ConsumerFactory implements AsyncDisposable {
  readonly transport: Transport
  readonly #pool: TransportPool
  readonly #router: Router
  readonly #loops = new Map<string, ConsumerLoop>()
  readonly #defaults: RouteOptions
  #closing: Promise<void> | undefined

  /**
   * @param choice - a transport's registered name, a URL or an open transport. Default: from the environment.
   * Throws, before any I/O, INVALID_ARGUMENT for an unknown transport or bad options, NOT_FOUND when its package isn't
   * installed, UNSUPPORTED when it lacks a capability in `requires`.
   */
  constructor(choice?: TransportChoice, options: ConsumerFactoryOptions = {}) {
    const { group, loops, requires, environment, logger, deadLetterTransport, ...transportOptions } = options
    if (typeof choice === 'object' && Object.keys(transportOptions).length > 0) {
      throw new StreamError(
        `options of the transport (${Object.keys(transportOptions).join(', ')}) can't be set here, since this factory was given an open transport: pass them where it is opened`,
        { code: 'INVALID_ARGUMENT', transport: choice.name, operation: 'configure' },
      )
    }
    this.#pool = new TransportPool({
      environment: environment ?? process.env,
      logger,
      deadLetterTransport,
    })
    this.transport = this.#pool.get(choice, (adapter) => {
      const known = [
        ...FACTORY_OPTIONS,
        ...Object.keys(transportFields),
        ...Object.keys(loadAdapterNow({ name: adapter }).options),
      ]
      requireNames(options, known, { subject: `the ${adapter} factory`, transport: adapter })
      return transportOptions
    })
    if (loops !== undefined) requireLoopNames(loops, `loops of the ${this.transport.name} factory`)
    requireCapabilities(this.transport.adapter, requires ?? [], 'configure')
    this.#defaults = { ...(group === undefined ? {} : { group }), ...loops }
    this.#router = new Router(`the ${this.transport.name} factory`)
    this.#router.includedBy({
      name: `the ${this.transport.name} factory`,
      check: () => {},
      adopt: (route) => this.#make(route),
      isBelow: () => false,
    })
  }

  /** The factory's loops, by queue. */
  get loops(): ReadonlyMap<string, ConsumerLoop> {
    return this.#loops
  }

  /**
   * Routes a queue to a handler (a function or a {@link Listener}) and returns the loop. Throws INVALID_ARGUMENT for a
   * bad name, handler or option and when no group is set, UNSUPPORTED for what the transport can't do, CONFLICT when
   * the queue is already routed.
   */
  route<T = unknown>(queue: string, handler: Handler<T> | Listener<T>, options: RouteOptions<T> = {}): ConsumerLoop<T> {
    this.#router.route(queue, handler, options)
    return this.#loops.get(queue) as ConsumerLoop<T>
  }

  /** Creates the loops of a router, including those for routes added to it later. See `Router.include`. */
  include(router: Router, options: { readonly prefix?: string } = {}): this {
    this.#router.include(router, options)
    return this
  }

  /**
   * Closes the loops, as their `close` does, and then the transport, if the factory opened it. Idempotent: later calls
   * return the first call's promise. Rejects only with INVALID_ARGUMENT for bad options; nothing is closed then.
   */
  close(options: CloseOptions = {}): Promise<void> {
    const subject = `close of the ${this.transport.name} factory`
    return withOptions(closeFields, options, { subject, operation: 'close' }, (checked) => {
      this.#closing ??= this.#close(checked)
      return this.#closing
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(options: CloseOptions): Promise<void> {
    await Promise.all([...this.#loops.values()].map((loop) => loop.close(options)))
    await this.#pool.close(options)
  }

  #make({ queue, handler, options }: Route): void {
    const merged = { ...this.#defaults, ...options }
    const { group } = merged
    if (group === undefined) {
      throw new StreamError(
        `queue '${queue}' has no group: set one on its route, its router or the factory ({ group: 'billing' })`,
        { code: 'INVALID_ARGUMENT', transport: this.transport.name, topic: queue, operation: 'route' },
      )
    }
    const loop = this.transport.consumer(queue, { ...merged, group })
    loop.handle(handler)
    this.#loops.set(queue, loop)
  }
}
