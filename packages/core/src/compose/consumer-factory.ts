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

/** Options of a {@link ConsumerFactory}; what isn't named here is an option of its transport, by its documented name: `port`, `clientId`, … */
export interface ConsumerFactoryOptions {
  /** The group of every route that names none. */
  readonly group?: string
  /** Options of every loop, unless its route says otherwise. */
  readonly loops?: Partial<ConsumerSettings>
  /** Capabilities that the transport must have: UNSUPPORTED where it lacks one. */
  readonly requires?: readonly CapabilityName[]
  /** In place of `process.env`. */
  readonly environment?: NodeJS.ProcessEnv
  /** Where to tell what happens. Default: warnings and errors to standard error. */
  readonly logger?: Logger
  /** Where dead letters go, for a transport that doesn't keep them itself. */
  readonly deadLetterTransport?: TransportChoice
  readonly [transportOption: string]: unknown
}

const FACTORY_OPTIONS = ['group', 'loops', 'requires', 'environment', 'logger', 'deadLetterTransport']

/**
 * Makes the loops of one transport by routing queues to handlers: `consumers.route('orders', handler)` is all that a queue needs.
 * Nothing is connected before a {@link ConsumerRunner} or the loops' own `run` starts them.
 */
export class ConsumerFactory implements AsyncDisposable {
  readonly transport: Transport
  readonly #pool: TransportPool
  readonly #router: Router
  readonly #loops = new Map<string, ConsumerLoop>()
  readonly #defaults: RouteOptions
  #closing: Promise<void> | undefined

  /**
   * @param choice - a transport's registered name, a URL or an open transport; left out, what the environment says.
   *
   * Throws, before any I/O, INVALID_ARGUMENT for an unknown transport or bad options, NOT_FOUND where its package isn't installed,
   * UNSUPPORTED where it lacks a capability in `requires`.
   */
  constructor(choice?: TransportChoice, options: ConsumerFactoryOptions = {}) {
    const { group, loops, requires, environment, logger, deadLetterTransport, ...transportOptions } = options
    if (typeof choice === 'object' && Object.keys(transportOptions).length > 0) {
      throw new StreamError(
        `options of the transport (${Object.keys(transportOptions).join(', ')}) belong to where it is opened: this factory was given an open one`,
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

  /** Its loops, by queue. */
  get loops(): ReadonlyMap<string, ConsumerLoop> {
    return this.#loops
  }

  /**
   * Routes a queue to a handler, a function or a {@link Listener}, and returns the loop. Throws INVALID_ARGUMENT for a bad name,
   * handler or option and where no group is known, UNSUPPORTED for what the transport can't do, CONFLICT where the queue is routed
   * already.
   */
  route<T = unknown>(queue: string, handler: Handler<T> | Listener<T>, options: RouteOptions<T> = {}): ConsumerLoop<T> {
    this.#router.route(queue, handler, options)
    return this.#loops.get(queue) as ConsumerLoop<T>
  }

  /** Makes the loops of a router, and of the routes that it gets later. See `Router.include`. */
  include(router: Router, options: { readonly prefix?: string } = {}): this {
    this.#router.include(router, options)
    return this
  }

  /**
   * Closes the loops, each as its `close` does, and then the transport, if the factory opened it. Idempotent: later calls share
   * the first one's promise. Rejects only with INVALID_ARGUMENT for bad options, and closes nothing then.
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
        `queue '${queue}' has no group: give one to its route, its router or the factory ({ group: 'billing' })`,
        { code: 'INVALID_ARGUMENT', transport: this.transport.name, topic: queue, operation: 'route' },
      )
    }
    const loop = this.transport.consumer(queue, { ...merged, group })
    loop.handle(handler)
    this.#loops.set(queue, loop)
  }
}
