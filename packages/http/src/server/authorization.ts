import type { IncomingHttpHeaders } from 'node:http'
import { atMost, messageOf, printable, StreamError } from '@streamswitch/core/driver'
import { type Problem, problems } from '../wire/problem.js'
import type { HttpPrincipal } from './principal.js'

/** What an {@link Authorize} function knows of a request. */
export interface HttpRequestInfo {
  readonly principal: HttpPrincipal
  /** The client's IP address; through proxies, what those in `trustedProxies` say. `undefined`: they say nothing that is one. */
  readonly address: string | undefined
  readonly method: string
  /** Path of the request, without its query and needless escapes. */
  readonly path: string
  /** Headers by their lower-case names. They contain the client's credentials. */
  readonly headers: Readonly<IncomingHttpHeaders>
}

/** What a request would reach. */
export interface HttpDestination {
  /** The topic, as the loop names it: without the prefix, by its portable name. */
  readonly topic: string
  /** The group, likewise. */
  readonly group: string
}

/**
 * Decides whether a request may reach a group of a topic: only `true` lets it in, anything else is answered 403. Called before the body is
 * read, once per group that the request would reach: for `/topic` that is every group of it. Where it throws or rejects the request is
 * answered 500, where it takes longer than 5 seconds 503, and a loop emits `error`.
 */
export type Authorize = (request: HttpRequestInfo, destination: HttpDestination) => boolean | Promise<boolean>

/** How long one decision may take, in milliseconds. */
const TIMEOUT_MS = 5_000
/** Shortest time between two reports of failures, in milliseconds: clients can't cause more. */
const REPORT_MS = 10_000

/** Calls the user's `authorize`. */
export class Authorization {
  readonly #authorize: Authorize
  readonly #report: (error: StreamError) => void
  #reportedAt = Number.NEGATIVE_INFINITY
  #unreported = 0

  constructor(authorize: Authorize, report: (error: StreamError) => void) {
    this.#authorize = authorize
    this.#report = report
  }

  /** The problem of a request that may not reach all of `destinations`. At once where the function says so at once. */
  judge(
    request: HttpRequestInfo,
    destinations: readonly HttpDestination[],
  ): Problem | undefined | Promise<Problem | undefined> {
    const pending: Promise<boolean>[] = []
    try {
      for (const destination of destinations) {
        const decision: unknown = this.#authorize(request, destination)
        if (isPromise(decision)) pending.push(Promise.resolve(decision))
        else if (decision !== true) {
          for (const other of pending) other.catch(() => {})
          return problems.forbidden()
        }
      }
    } catch (error) {
      for (const other of pending) other.catch(() => {})
      return this.#failed(error)
    }
    return pending.length === 0 ? undefined : this.#wait(pending)
  }

  async #wait(pending: readonly Promise<boolean>[]): Promise<Problem | undefined> {
    const deciding = Promise.all(pending).then(
      (decisions) => (decisions.every((decision) => decision === true) ? 'allowed' : problems.forbidden()),
      (error: unknown) => this.#failed(error),
    )
    const decided = await atMost(deciding, TIMEOUT_MS)
    if (decided === 'allowed') return undefined
    if (decided !== undefined) return decided
    this.#tell(`it took longer than ${TIMEOUT_MS} ms`)
    return problems.undecided()
  }

  #failed(error: unknown): Problem {
    this.#tell(printable(messageOf(error)), error)
    return problems.internal()
  }

  #tell(reason: string, cause?: unknown): void {
    const now = performance.now()
    if (now - this.#reportedAt < REPORT_MS) {
      this.#unreported += 1
      return
    }
    const more = this.#unreported === 0 ? '' : ` (and ${this.#unreported} times more since the last report)`
    this.#reportedAt = now
    this.#unreported = 0
    this.#report(
      new StreamError(`authorize failed, the request was refused: ${reason}${more}`, {
        code: 'UNKNOWN',
        transport: 'http',
        operation: 'authorize',
        cause,
      }),
    )
  }
}

function isPromise(value: unknown): value is Promise<boolean> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
