import type { IncomingHttpHeaders } from 'node:http'
import { type ErrorCode, printable, RECONNECT_BACKOFF, StreamError } from '@streamswitch/core/driver'
import { classifyError, codeOfStatus, MAX_RETRY_AFTER_MS, readRetryAfter, wasUnsent } from '../errors.js'

/** Why a subscriber has not accepted a message. */
export interface Refusal {
  readonly error: StreamError
  /** Nothing was started and another replica may be better: no connection, or no loop there. */
  readonly elsewhere: boolean
  /** Handler starts that the subscriber counts; `undefined` when it didn't say. */
  readonly starts: number | undefined
  /** A handler may have been started, and its outcome is not known. */
  readonly ambiguous: boolean
  /** The other side keeps a backoff: its own wait counts, not this side's. */
  readonly isPaced: boolean
  /** An earlier message of the same request stood in the way. */
  readonly predecessor: boolean
  /** Per group, where the request was for several: those that accepted are listed in `accepted`. */
  readonly groups: ReadonlyMap<string, Refusal> | undefined
  readonly accepted: readonly string[]
}

const NOTHING = {
  elsewhere: false,
  starts: undefined,
  ambiguous: false,
  isPaced: false,
  predecessor: false,
  groups: undefined,
  accepted: [],
} as const

/** Maximum length of another side's message quoted in an error, in characters. */
const MAX_SAID = 1_500

/** The codes that a problem may name. */
const CODES: Readonly<Record<ErrorCode, true>> = {
  INVALID_ARGUMENT: true,
  UNSUPPORTED: true,
  NOT_FOUND: true,
  UNAUTHENTICATED: true,
  PERMISSION_DENIED: true,
  UNAVAILABLE: true,
  TIMEOUT: true,
  ABORTED: true,
  CLOSED: true,
  TOO_LARGE: true,
  RESOURCE_EXHAUSTED: true,
  SERIALIZATION: true,
  CONFLICT: true,
  UNKNOWN: true,
}

/** The connection failed, or the response didn't come. */
export function refusalOfError(cause: unknown, url: string, topic: string): Refusal {
  const native = classifyError(cause, 'send', topic)
  const unsent = wasUnsent(cause)
  const error = new StreamError(`${url}: ${native.message}`, {
    code: native.code,
    retryable: native.retryable,
    transport: 'http',
    operation: 'send',
    topic,
    cause,
  })
  return { ...NOTHING, error, elsewhere: unsent, ambiguous: !unsent }
}

/** The response was late: its handler may still be running. */
export function refusalOfTimeout(url: string, topic: string, timeoutMs: number): Refusal {
  const error = new StreamError(
    `${url}: no answer within ${timeoutMs} ms (responseTimeoutMs); the handler may still be running`,
    { code: 'TIMEOUT', transport: 'http', operation: 'send', topic },
  )
  return { ...NOTHING, error }
}

/** A message that never left, for a reason of this side. */
export function refusalUnsent(error: StreamError): Refusal {
  return { ...NOTHING, error }
}

/** Another message of its request was not accepted, and it may not overtake that one. */
export function refusalBehind(error: StreamError): Refusal {
  return { ...NOTHING, error, predecessor: true }
}

/** Where a problem comes from. */
export interface Source {
  readonly url: string
  readonly topic: string
  /** Takes out of a text of the other side what may not be shown. */
  hide(said: string): string
}

/** What a response was awaited for. */
export interface Awaited extends Source {
  /** The response is the reply to a request: what it says is the answer. */
  readonly reply: boolean
}

/** A response that isn't 2xx. `body` is a problem where the other side sent one, or what else its JSON is; of plain text the beginning. */
export function refusalOfResponse(
  status: number,
  headers: IncomingHttpHeaders,
  body: unknown,
  awaited: Awaited,
): Refusal {
  const { url, topic, reply } = awaited
  const target = status >= 300 && status < 400 ? redirectTarget(headers, url) : undefined
  const redirect = target === undefined ? {} : { title: `redirects to ${target}, which is not followed: send there` }
  const problem = { ...(isObject(body) ? body : {}), ...foreignDetail(body), ...redirect, status }
  const refusal = refusalOfProblem(problem, awaited, readRetryAfter(headers))
  const ours = 'retryable' in problem && typeof problem.retryable === 'boolean'
  if (!reply || ours || LATER.has(status)) return refusal
  const { code, message } = refusal.error
  const error = new StreamError(message, { code, retryable: false, transport: 'http', operation: 'request', topic })
  return { ...refusal, error }
}

/** Statuses by which any server asks for another try: for a request, all others are its answer. */
const LATER: ReadonlySet<number> = new Set([408, 423, 424, 425, 429, 502, 503, 504])

/** What a body that is no problem says of a failure: plain text, or the members that services use most. */
function foreignDetail(body: unknown): { readonly detail?: string } {
  if (typeof body === 'string') return { detail: body.trim() }
  if (!isObject(body) || typeof body.title === 'string' || typeof body.detail === 'string') return {}
  const said = [body.message, isObject(body.error) ? body.error.message : body.error, body.error_description]
  const texts = said.filter((one) => typeof one === 'string' && one !== '')
  return texts.length === 0 ? {} : { detail: [...new Set(texts)].join(': ') }
}

/** Where a response redirects to (RFC 9110, section 10.2.2), without what may be a secret in it. */
function redirectTarget({ location }: IncomingHttpHeaders, url: string): string | undefined {
  if (typeof location !== 'string' || !URL.canParse(location, url)) return undefined
  const { protocol, host, pathname } = new URL(location, url)
  return /^https?:$/.test(protocol) ? `${protocol}//${host}${pathname}` : undefined
}

/** A problem: the body of a response, or a line of a batch's. What isn't of ours is filled in by its status. */
export function refusalOfProblem(
  problem: Readonly<Record<string, unknown>>,
  source: Source,
  retryAfterHeaderMs?: number,
): Refusal {
  const { url, topic } = source
  const status = typeof problem.status === 'number' ? problem.status : 500
  const byStatus = codeOfStatus(status)
  const code =
    typeof problem.code === 'string' && Object.hasOwn(CODES, problem.code) ? (problem.code as ErrorCode) : byStatus.code
  const retryable = typeof problem.retryable === 'boolean' ? problem.retryable : byStatus.retryable
  const ownRetryAfterMs = readWait(problem.retryAfterMs)
  const retryAfterMs = ownRetryAfterMs ?? retryAfterHeaderMs
  const starts = isCount(problem.attempt) ? problem.attempt : undefined
  const parts = [problem.title, problem.detail].filter((part) => typeof part === 'string' && part !== '')
  const said = printable(source.hide(parts.join(': ')).slice(0, MAX_SAID))
  const error = new StreamError(
    `${url}: ${said === '' ? `status ${status}` : `${said} (status ${status})`}`.slice(0, 2_000),
    {
      code,
      retryable,
      transport: 'http',
      operation: 'send',
      topic,
      retryAfterMs,
    },
  )
  return {
    error,
    elsewhere: status === 503 || status === 404 || status === 502,
    starts,
    ambiguous: false,
    isPaced: ownRetryAfterMs !== undefined && (starts !== undefined || ownRetryAfterMs >= RECONNECT_BACKOFF.minDelayMs),
    predecessor: status === 424,
    ...byGroup(problem.groups, source),
  }
}

function byGroup(groups: unknown, source: Source): Pick<Refusal, 'groups' | 'accepted'> {
  if (!isObject(groups)) return { groups: undefined, accepted: [] }
  const refused = new Map<string, Refusal>()
  const accepted: string[] = []
  for (const [group, outcome] of Object.entries(groups)) {
    if (!isObject(outcome) || typeof outcome.status !== 'number') continue
    if (outcome.status >= 200 && outcome.status < 300) accepted.push(group)
    else {
      const one = { topic: source.topic, url: `${source.url} (${group})`, hide: (said: string) => source.hide(said) }
      refused.set(group, refusalOfProblem({ ...outcome, groups: undefined }, one))
    }
  }
  return { groups: refused, accepted }
}

/** Milliseconds, also parts of one. */
function readWait(value: unknown): number | undefined {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) return undefined
  return Math.min(Math.ceil(value), MAX_RETRY_AFTER_MS)
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
