import type { ConsumerLoop } from '../consumer/consumer-loop.js'
import type { Logger } from '../logger.js'
import { nearestName } from '../options/problems.js'
import { ConsumerFactory } from './consumer-factory.js'
import { type ClosedLast, contentOf, isRouter, type NamedLoop, type PartContent, type RunnerPart } from './parts.js'
import type { Router } from './router.js'
import { type Choice, runnerError } from './runner-options.js'
import { RunningLoop } from './running-loop.js'
import type { TransportChoice } from './transport-pool.js'

/** How the routes of routers become loops. */
interface Routing {
  readonly transport: TransportChoice | undefined
  readonly group: string | undefined
  readonly environment: NodeJS.ProcessEnv
  readonly logger: Logger | undefined
}

/** A runner's loops by name, which of them this process runs, and what is closed after them. */
export class RunnerParts {
  readonly producers: PartContent['producers'][number][] = []
  readonly closedLast: ClosedLast[] = []
  readonly #routing: Routing
  readonly #loops = new Map<string, RunningLoop>()
  /** The loops of {@link #routing}, created with the first router. */
  #routes: ConsumerFactory | undefined
  #unchosen: ReadonlySet<RunningLoop> = new Set()

  constructor(routing: Routing) {
    this.#routing = routing
  }

  get loops(): readonly RunningLoop[] {
    return [...this.#loops.values()]
  }

  /** The loops that this process runs. */
  get chosen(): readonly RunningLoop[] {
    return this.loops.filter((one) => this.isChosen(one))
  }

  isChosen(one: RunningLoop): boolean {
    return !this.#unchosen.has(one)
  }

  has(one: RunningLoop): boolean {
    return this.#loops.get(one.name) === one
  }

  /**
   * Adds a part and returns its loops. Throws INVALID_ARGUMENT for anything that isn't a part, CONFLICT for a name that
   * is in use.
   */
  take(part: RunnerPart, name?: string): RunningLoop[] {
    if (isRouter(part)) return this.#takeRouter(part)
    const { loops, producers, closedLast } = contentOf(part)
    if (name !== undefined && loops.length !== 1)
      throw runnerError(
        'INVALID_ARGUMENT',
        `a name can only be given to a single loop, and this part has ${loops.length}`,
      )
    const added = this.#register(loops.map((one) => (name === undefined ? one : { ...one, name })))
    this.producers.push(...producers)
    this.closedLast.push(...closedLast)
    return added
  }

  /** Removes a loop. Throws NOT_FOUND for an unknown one. */
  drop(loop: string | ConsumerLoop): RunningLoop {
    const found = this.loops.find((one) => one.name === loop || one.loop === loop)
    if (found === undefined) {
      const what = typeof loop === 'string' ? `loop '${loop}'` : 'such loop'
      throw runnerError('NOT_FOUND', `there is no ${what}; known loops: ${this.#names()}`)
    }
    this.#loops.delete(found.name)
    return found
  }

  /**
   * Restricts the present loops to these; loops added later are run as well. Throws INVALID_ARGUMENT for names that no
   * loop has.
   */
  choose(choice: Choice | undefined): void {
    if (choice === undefined) return
    const names = choice.names(this.#loops.keys())
    const { from } = choice
    const unknown = names.filter((name) => !this.#loops.has(name))
    if (unknown.length > 0 || names.length === 0) {
      const near = nearestName(unknown[0] ?? '', this.#loops.keys())
      const hint = near === undefined ? '' : `; did you mean '${near}'?`
      const what = unknown.length === 0 ? 'names no loop' : `names unknown loops: ${unknown.join(', ')}${hint}`
      throw runnerError('INVALID_ARGUMENT', `${from} ${what}; known loops: ${this.#names()}`)
    }
    this.#unchosen = new Set(this.loops.filter((one) => !names.includes(one.name)))
  }

  #takeRouter(router: Router): RunningLoop[] {
    if (this.#routes === undefined) {
      const { transport, group, environment, logger } = this.#routing
      this.#routes = new ConsumerFactory(transport, {
        environment,
        ...(group === undefined ? {} : { group }),
        ...(logger === undefined ? {} : { logger }),
      })
      this.closedLast.push(...contentOf(this.#routes).closedLast)
    }
    const before = new Set(this.#routes.loops.keys())
    this.#routes.include(router)
    const added = [...this.#routes.loops].filter(([queue]) => !before.has(queue))
    return this.#register(added.map(([queue, loop]) => ({ name: queue, loop })))
  }

  #register(loops: readonly NamedLoop[]): RunningLoop[] {
    for (const { name, loop } of loops) {
      const known = this.#loops.get(name)
      if (known === undefined) continue
      const of = (one: ConsumerLoop): string => `${one.label}/${one.group} on ${one.transport.name}`
      throw runnerError(
        'CONFLICT',
        known.loop === loop
          ? `loop '${name}' is in it twice`
          : `two loops are named '${name}': ${of(known.loop)} and ${of(loop)}; rename one: { name: '…', loop }`,
      )
    }
    const added = loops.map(({ name, loop }) => new RunningLoop(name, loop))
    for (const one of added) this.#loops.set(one.name, one)
    return added
  }

  #names(): string {
    return [...this.#loops.keys()].join(', ') || 'none'
  }
}
