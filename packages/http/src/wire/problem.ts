import { type ErrorCode, isStreamError, messageOf } from '@streamswitch/core/driver'

/** Content type of errors: RFC 9457. */
export const PROBLEM_TYPE = 'application/problem+json'

/** Why a message, or a whole request, was not accepted: a problem+json object (RFC 9457) with members of our own. */
export interface Problem {
  readonly status: number
  readonly title: string
  readonly detail?: string | undefined
  /** Who gets `detail`, by default everybody. Isn't sent. */
  readonly detailFor?: 'authenticated' | 'requester' | undefined
  readonly code: ErrorCode
  readonly retryable: boolean
  /** Finer than the Retry-After header, which counts in seconds. */
  readonly retryAfterMs?: number | undefined
  /** How many handler starts this message has had, where one has failed. */
  readonly attempt?: number | undefined
}

/** What became of one message at one subscriber: accepted, or a problem. */
export type Outcome = 'accepted' | Problem

/** One line of the response to a batch. */
export type OutcomeLine =
  /** Positions, within the request, of records that every group has accepted. */
  | { readonly accepted: readonly number[] }
  /** A record that was not accepted; with `groups` where the request was for several. */
  | ({
      readonly index: number
      readonly groups?: Readonly<Record<string, Problem | { readonly status: number }>>
    } & Problem)

export const problems = {
  malformed: (detail: string): Problem => ({
    status: 400,
    title: 'The request is malformed',
    detail,
    code: 'INVALID_ARGUMENT',
    retryable: false,
  }),
  unauthenticated: (): Problem => ({
    status: 401,
    title: 'A valid token is needed',
    code: 'UNAUTHENTICATED',
    retryable: false,
  }),
  /** The server's own token can't be read, and its grace is over. */
  tokenUnreadable: (): Problem => ({
    status: 503,
    title: 'The server can not check tokens now',
    code: 'UNAVAILABLE',
    retryable: true,
    retryAfterMs: 1_000,
  }),
  uncertified: (): Problem => ({
    status: 401,
    title: 'A client certificate of a known authority is needed (tlsCertFile, tlsKeyFile)',
    code: 'UNAUTHENTICATED',
    retryable: false,
  }),
  /** `detail`: which part of the request says so. */
  ofBrowser: (detail: string): Problem => ({
    status: 403,
    title: 'Requests that browsers send for other pages are refused (allowedOrigins, http.allowBrowsers)',
    detail,
    code: 'PERMISSION_DENIED',
    retryable: false,
  }),
  otherHost: (): Problem => ({
    status: 403,
    title: 'The request is for another host (allowedHosts)',
    code: 'PERMISSION_DENIED',
    retryable: false,
  }),
  forbidden: (): Problem => ({
    status: 403,
    title: 'The sender may not send here',
    code: 'PERMISSION_DENIED',
    retryable: false,
  }),
  /** `authorize` has not decided in time. */
  undecided: (): Problem => ({
    status: 503,
    title: 'The server can not check permissions now',
    code: 'UNAVAILABLE',
    retryable: true,
    retryAfterMs: 1_000,
  }),
  /** Retryable: the loop may be starting up. */
  noSuchGroup: (topic: string, group: string | undefined, paths?: readonly string[]): Problem => ({
    status: 404,
    title:
      group === undefined ? `No loop here consumes '${topic}'` : `No loop of group '${group}' here consumes '${topic}'`,
    detail: listed(paths),
    code: 'NOT_FOUND',
    retryable: true,
  }),
  noSuchPath: (paths?: readonly string[]): Problem => ({
    status: 404,
    title: 'There is nothing at this path: messages go to /topic or /topic/group',
    detail: listed(paths),
    code: 'NOT_FOUND',
    retryable: true,
  }),
  /** Not retryable: the path that was meant is there. */
  otherPath: (meant: string): Problem => ({
    status: 404,
    title: `There is nothing at this path; did you mean ${meant}?`,
    code: 'NOT_FOUND',
    retryable: false,
  }),
  wrongMethod: (allowed: string): Problem => ({
    status: 405,
    title: `This path takes ${allowed} only`,
    code: 'INVALID_ARGUMENT',
    retryable: false,
  }),
  /** A resend of a request whose reply went out before, and broke off on the way. */
  replyLost: (): Problem => ({
    status: 410,
    title: 'The reply to this request was sent before and is not kept any more',
    code: 'ABORTED',
    retryable: false,
  }),
  tooLarge: (limit: number, what: 'payload' | 'request'): Problem => ({
    status: 413,
    title: `The ${what} has more than ${limit} bytes`,
    code: 'TOO_LARGE',
    retryable: false,
  }),
  overLimit: (detail: string): Problem => ({
    status: 413,
    title: 'The request exceeds a limit',
    detail,
    code: 'TOO_LARGE',
    retryable: false,
  }),
  unknownBatch: (known: string): Problem => ({
    status: 415,
    title: `Batches are taken as ${known} only`,
    code: 'UNSUPPORTED',
    retryable: false,
  }),
  unknownEncoding: (known: string): Problem => ({
    status: 415,
    title: `Bodies are taken as they are, or with the content codings ${known}`,
    code: 'UNSUPPORTED',
    retryable: false,
  }),
  /** An earlier message of the same key in the same request was not accepted. */
  predecessorFailed: (): Problem => ({
    status: 424,
    title: 'An earlier message of this key failed: send them again in order',
    code: 'ABORTED',
    retryable: true,
  }),
  busy: (): Problem => ({
    status: 429,
    title: 'The loop has no room',
    code: 'RESOURCE_EXHAUSTED',
    retryable: true,
    retryAfterMs: 200,
  }),
  closing: (): Problem => ({
    status: 503,
    title: 'The loop is not running',
    code: 'UNAVAILABLE',
    retryable: true,
    retryAfterMs: 1_000,
  }),
  internal: (): Problem => ({ status: 500, title: 'The server failed', code: 'UNKNOWN', retryable: true }),
} as const

/** Maximum number of paths that a 404 lists. */
const MAX_LISTED = 20

/** @param paths - `undefined` where the caller may not see them. */
function listed(paths: readonly string[] | undefined): string | undefined {
  if (paths === undefined) return undefined
  if (paths.length === 0) return 'no loop is open here'
  const more = paths.length > MAX_LISTED ? ` and ${paths.length - MAX_LISTED} more` : ''
  return `there is ${paths.slice(0, MAX_LISTED).join(', ')}${more}; a prefix (STREAMSWITCH_PREFIX) is part of the path`
}

export interface FailedAttempt {
  readonly attempt: number
  /** `undefined`: the message must not come again. */
  readonly retryAfterMs: number | undefined
  readonly errorDetail: 'authenticated' | 'message' | 'none'
}

const DETAIL_FOR = { authenticated: 'authenticated', message: undefined, none: 'requester' } as const

/** Who gets an answer: somebody, a sender that has proved itself, or one that waits for the reply, whose error is the answer. */
export type Reader = 'anybody' | 'authenticated' | 'requester'

/** A problem as it may be sent: without what its reader isn't to know. */
export function shownTo<P extends Problem & { readonly groups?: object }>(
  reader: Reader,
  problem: P,
): Omit<P, 'detailFor'> {
  const { detailFor, ...shown } = problem
  const isShown = detailFor === undefined || reader === 'requester' || reader === detailFor
  const groups = problem.groups as Readonly<Record<string, Problem>> | undefined
  return {
    ...shown,
    ...(isShown ? {} : { detail: undefined }),
    ...(groups === undefined
      ? {}
      : { groups: Object.fromEntries(Object.entries(groups).map(([group, one]) => [group, shownTo(reader, one)])) }),
  }
}

/** The problem of a handler that failed: 500 where the message should come again, 422 where it shouldn't. */
export function handlerProblem(error: unknown, { attempt, retryAfterMs, errorDetail }: FailedAttempt): Problem {
  const retryable = retryAfterMs !== undefined
  return {
    status: retryable ? 500 : 422,
    title: retryable ? 'The handler failed' : 'The message was refused',
    detail: messageOf(error).slice(0, 1_000),
    detailFor: DETAIL_FOR[errorDetail],
    code: isStreamError(error) ? error.code : 'UNKNOWN',
    retryable,
    retryAfterMs: retryAfterMs === undefined ? undefined : Math.ceil(retryAfterMs),
    attempt,
  }
}

/**
 * Returns the one problem that represents several groups': a message must be sent again if any of them may still accept
 * it.
 */
export function worst(found: readonly Problem[]): Problem | undefined {
  return found.find((problem) => !problem.retryable) ?? found[0]
}
