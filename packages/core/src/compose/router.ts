import { type ConsumerSettings, consumerFields } from '../consumer/consumer-options.js'
import { listenerProblem } from '../consumer/listener.js'
import { type ErrorCode, StreamError } from '../errors.js'
import type { Handler, Listener } from '../message.js'
import { requirePortableName } from '../names.js'
import { requireNames } from '../options/call-options.js'
import { isPlainObject } from '../options/fields.js'
import { nearestName } from '../options/problems.js'
import { OFFICIAL_ADAPTERS } from '../registry/official-adapters.js'

/** Options of a route: those of its loop. The group may be set on the router or the factory instead. */
export type RouteOptions<T = unknown> = Partial<ConsumerSettings<T>>

/** A queue and its handler. */
export interface Route<T = unknown> {
  /** The topic. */
  readonly queue: string
  readonly handler: Handler<T> | Listener<T>
  readonly options: RouteOptions<T>
  /** The name of the router that routed it. */
  readonly routedBy: string
}

/** Takes over the routes of a router. Routes added later are passed on as well. */
interface Includer {
  readonly name: string
  /** Throws CONFLICT when the queue is already routed, here or in a containing router. */
  check(queue: string, by: string): void
  adopt(route: Route): void
  /** True when the router is this one, or one that includes this one. */
  isBelow(router: Router): boolean
}

/**
 * A list of routes, one per queue, that an application includes, so that each file of a service can define its own. It
 * opens nothing; the `ConsumerFactory` or `ConsumerRunner` that includes it creates the loops.
 */
export class Router {
  /** Name shown in errors. */
  readonly name: string
  readonly #defaults: RouteOptions
  readonly #routes = new Map<string, Route>()
  #includer: { readonly by: Includer; readonly prefix: string } | undefined

  /** @param defaults - options of every route that doesn't override them, for example `{ group: 'billing' }`. */
  constructor(name: string, defaults: RouteOptions = {}) {
    if (typeof name !== 'string' || name === '')
      throw routingError('INVALID_ARGUMENT', 'a router needs a name, which its errors show')
    requireLoopNames(defaults, `router '${name}'`)
    this.name = name
    this.#defaults = defaults
  }

  /** All routes, including those of included routers. */
  get routes(): readonly Route[] {
    return [...this.#routes.values()]
  }

  /**
   * Routes a queue to a handler. Throws INVALID_ARGUMENT for a bad name or handler, CONFLICT when the queue is already
   * routed in this router or in one that it is included in; the error names both.
   */
  route<T = unknown>(queue: string, handler: Handler<T> | Listener<T>, options: RouteOptions<T> = {}): this {
    requirePortableName('queue', queue)
    const problem = listenerProblem(handler)
    if (problem !== undefined) throw routingError('INVALID_ARGUMENT', `the handler of queue '${queue}' ${problem}`)
    requireLoopNames(options, `the route of queue '${queue}'`)
    this.#check(queue, this.name)
    const merged = { ...this.#defaults, ...options } as RouteOptions
    this.#adopt({ queue, handler: handler as Handler | Listener, options: merged, routedBy: this.name })
    return this
  }

  /**
   * Includes another router's routes, also those added to it later. `prefix` is prepended to its queue names.
   * Throws CONFLICT when the router is already included here or elsewhere, contains this one, or routes a queue that is
   * routed here; the error names both, and nothing is included.
   */
  include(other: Router, options: { readonly prefix?: string } = {}): this {
    requireNames(options, ['prefix'], { subject: `include() of router '${this.name}'`, operation: 'route' })
    other.includedBy(
      {
        name: `router '${this.name}'`,
        check: (queue, by) => this.#check(queue, by),
        adopt: (route) => this.#adopt(route),
        isBelow: (router) => router === this || (this.#includer?.by.isBelow(router) ?? false),
      },
      options.prefix,
    )
    return this
  }

  /** @internal */
  includedBy(by: Includer, prefix = ''): void {
    if (this.#includer !== undefined) {
      throw routingError(
        'CONFLICT',
        `router '${this.name}' is included twice: in ${this.#includer.by.name} and in ${by.name}`,
      )
    }
    if (by.isBelow(this))
      throw routingError('CONFLICT', `router '${this.name}' can't be included in ${by.name}, which it contains`)
    const routes = this.routes.map((route) => ({ ...route, queue: prefix + route.queue }))
    for (const { queue, routedBy } of routes) {
      requirePortableName('queue', queue)
      by.check(queue, routedBy)
    }
    for (const route of routes) by.adopt(route)
    this.#includer = { by, prefix }
  }

  #check(queue: string, by: string): void {
    const known = this.#routes.get(queue)
    if (known !== undefined)
      throw routingError(
        'CONFLICT',
        known.routedBy === by
          ? `queue '${queue}' is routed twice by '${by}'`
          : `queue '${queue}' is routed twice: by '${known.routedBy}' and by '${by}'`,
      )
    if (this.#includer !== undefined) this.#includer.by.check(this.#includer.prefix + queue, by)
  }

  #adopt(route: Route): void {
    this.#includer?.by.adopt({ ...route, queue: this.#includer.prefix + route.queue })
    this.#routes.set(route.queue, route)
  }
}

/**
 * Throws INVALID_ARGUMENT for option names that no loop has. An object may be the options of an adapter that isn't
 * registered yet; it is checked when the loop is created.
 */
export function requireLoopNames(options: object, subject: string): void {
  const known = [...Object.keys(consumerFields), ...OFFICIAL_ADAPTERS.map((official) => official.name)]
  const own = Object.entries(options ?? {}).filter(
    ([name, value]) => known.includes(name) || !isPlainObject(value) || nearestName(name, known) !== undefined,
  )
  requireNames(Object.fromEntries(own), known, { subject, operation: 'route' })
}

function routingError(code: ErrorCode, message: string): StreamError {
  return new StreamError(message, { code, operation: 'route' })
}
