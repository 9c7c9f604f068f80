import type { StreamError } from '@streamswitch/core/driver'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Problem, problems } from '../wire/problem.js'
import { Authorization, type Authorize, type HttpDestination } from './authorization.js'
import { BrowserCheck } from './browser-check.js'
import { clientAddress } from './client-address.js'
import type { HostCheck } from './host-check.js'
import type { Hub } from './hub.js'
import type { ListenTokens, TokenJudgement } from './listen-tokens.js'
import {
  ANYBODY,
  certificateOf,
  type HttpCertificate,
  type HttpPrincipal,
  identityOfPrincipal,
  isAuthenticated,
} from './principal.js'

/** The sender of a request, while it is answered. */
export interface Sender {
  readonly principal: HttpPrincipal
  /** Tells senders apart by what they have proved; empty for all who have proved nothing. */
  readonly identity: string
  /** Its routing headers count: `streamswitch-only-group`, `streamswitch-except`, `streamswitch-attempt`. */
  readonly routes: boolean
}

export interface AccessSettings {
  readonly allowedOrigins: readonly string[]
  readonly hosts: HostCheck
  readonly routingHeaders: 'authenticated' | 'all'
  readonly tokens: ListenTokens | undefined
  /** Clients must show a certificate. */
  readonly asksClients: boolean
  readonly authorize: Authorize | undefined
  readonly report: (error: StreamError) => void
}

type MaybePromise<T> = T | Promise<T>

/** What the checks have found out about a request so far. */
interface Findings {
  /** Of a page that isn't named: only loops that take such requests may get it. */
  readonly ofOtherPage: boolean
  sender: Sender
  /** Groups that it may reach, as `topic/group`, as far as that was asked. */
  authorized: Set<string> | undefined
}

/** Who may send what: hosts, browsers, tokens, certificates and the user's `authorize`, in this order and before a body is read. */
export class Access {
  readonly #hub: Hub
  readonly #settings: AccessSettings
  readonly #browsers: BrowserCheck
  readonly #authorization: Authorization | undefined
  readonly #anybody: Sender
  /** Senders by the names of their tokens, of which there are few. */
  readonly #byToken = new Map<string, Sender>()
  readonly #findings = new WeakMap<FastifyRequest, Findings>()

  constructor(hub: Hub, settings: AccessSettings) {
    this.#hub = hub
    this.#settings = settings
    this.#anybody = this.#senderOf(ANYBODY)
    this.#browsers = new BrowserCheck(settings.allowedOrigins)
    this.#authorization =
      settings.authorize === undefined ? undefined : new Authorization(settings.authorize, settings.report)
  }

  /** Whether the server authenticates its senders: others don't get beyond {@link Access.authenticate}. */
  get isClosed(): boolean {
    return this.#settings.tokens !== undefined || this.#settings.asksClients
  }

  /** Decides by topic and group as well. */
  get decides(): boolean {
    return this.#authorization !== undefined
  }

  /**
   * Checks for which host a request is and whether a browser sends it for a page, and adds the headers that named pages need.
   * `'preflight'`: it is a browser's question, to be answered 204.
   */
  checkOrigin(request: FastifyRequest, reply: FastifyReply): Problem | 'preflight' | undefined {
    const { headers, raw, method } = request
    const repeated = repeatedHeader(raw.rawHeaders)
    if (repeated !== undefined) return problems.malformed(`it has several headers '${repeated}'`)
    if (!this.#settings.hosts.allows(headers.host, request.originalUrl)) return problems.otherHost()
    this.#browsers.addHeaders(headers, reply.raw)
    const verdict = this.#browsers.judge(headers, method)
    if (verdict === 'preflight') {
      this.#browsers.addPreflightHeaders(headers, reply.raw)
      return 'preflight'
    }
    const ofOtherPage = verdict === 'refused'
    if (ofOtherPage && !this.#hub.takesBrowsers(pathOf(request))) return problemOfPage(request)
    this.#findings.set(request, { ofOtherPage, sender: this.#anybody, authorized: undefined })
    return undefined
  }

  /** Checks certificate and token. At once, or when a token was read again. */
  authenticate(request: FastifyRequest, reply: FastifyReply): MaybePromise<Problem | undefined> {
    const { tokens, asksClients } = this.#settings
    const certificate = asksClients ? certificateOf(request.raw.socket) : undefined
    if (asksClients && certificate === undefined) {
      // The next connection may show another certificate.
      reply.header('connection', 'close')
      return problems.uncertified()
    }
    const proceed = (judgement: TokenJudgement | undefined): Problem | undefined => {
      if (judgement === 'refused') return problems.unauthenticated()
      if (judgement === 'unreadable') return problems.tokenUnreadable()
      const findings = this.#findings.get(request)
      if (findings !== undefined) findings.sender = this.#known(judgement?.name, certificate)
      return undefined
    }
    const judgement = tokens?.judge(request.headers.authorization)
    return judgement instanceof Promise ? judgement.then(proceed) : proceed(judgement)
  }

  /** Checks whether a request may reach the groups at its path, those that were found meanwhile too. Those it may aren't asked about again. */
  authorize(request: FastifyRequest): MaybePromise<Problem | undefined> {
    const findings = this.#findings.get(request)
    if (findings === undefined) return problems.internal()
    const path = pathOf(request)
    if (findings.ofOtherPage && !this.#hub.takesBrowsers(path)) return problemOfPage(request)
    if (this.#authorization === undefined) return undefined
    const missing = this.#hub.destinationsAt(path).filter((one) => findings.authorized?.has(nameOf(one)) !== true)
    if (missing.length === 0) return undefined
    const proceed = (problem: Problem | undefined): Problem | undefined => {
      if (problem === undefined) findings.authorized = new Set([...(findings.authorized ?? []), ...missing.map(nameOf)])
      return problem
    }
    const { method, headers } = request
    const info = { principal: findings.sender.principal, address: clientAddress(request), method, path, headers }
    const problem = this.#authorization.judge(info, missing)
    return problem instanceof Promise ? problem.then(proceed) : proceed(problem)
  }

  /** The sender of a request that has passed the checks. */
  senderOf(request: FastifyRequest): Sender {
    return this.#findings.get(request)?.sender ?? this.#anybody
  }

  #known(token: string | undefined, certificate: HttpCertificate | undefined): Sender {
    if (certificate !== undefined) return this.#senderOf({ token, certificate })
    if (token === undefined) return this.#anybody
    let sender = this.#byToken.get(token)
    if (sender === undefined) {
      sender = this.#senderOf(Object.freeze({ token, certificate }))
      this.#byToken.set(token, sender)
    }
    return sender
  }

  #senderOf(principal: HttpPrincipal): Sender {
    const routes = this.#settings.routingHeaders === 'all' || isAuthenticated(principal)
    return { principal, identity: identityOfPrincipal(principal), routes }
  }
}

/** Headers of which Node.js shows the first one only, and others on the way may go by the last. */
const SINGLE = ['host', 'authorization'] as const

function repeatedHeader(rawHeaders: readonly string[]): string | undefined {
  const counts = [0, 0]
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.length !== 4 && name.length !== 13) continue
    const index = SINGLE.indexOf(name.toLowerCase() as (typeof SINGLE)[number])
    if (index >= 0) counts[index] = (counts[index] as number) + 1
  }
  return SINGLE[counts.findIndex((count) => count > 1)]
}

function problemOfPage({ headers }: FastifyRequest): Problem {
  const said = headers.origin === undefined ? 'Sec-Fetch-Site' : 'Origin'
  return problems.ofBrowser(`its header '${said}' says that a browser sends it for an unnamed page`)
}

function pathOf({ url }: FastifyRequest): string {
  return url.split('?', 1)[0] ?? ''
}

function nameOf({ topic, group }: HttpDestination): string {
  return `${topic}/${group}`
}
