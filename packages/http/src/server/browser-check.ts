import type { IncomingHttpHeaders, ServerResponse } from 'node:http'

/** How long browsers may remember the answer to a preflight, in seconds. */
const MAX_AGE_SECONDS = 600

/** What a request is, as far as browsers are concerned. */
export type BrowserVerdict =
  /** Of no page, or of a page that is named. */
  | 'allowed'
  /** The question whether a named page may send a request: it is answered here. */
  | 'preflight'
  /** Of another page. */
  | 'refused'

/**
 * Tells requests that browsers send for a page from all others. Any page can make a browser send them, to addresses that only its user's
 * machine reaches and with what the browser adds automatically. So they are refused, unless the page's origin is named; then they get the CORS headers
 * (https://fetch.spec.whatwg.org/#http-cors-protocol) by which the page may read the answers.
 */
export class BrowserCheck {
  readonly #origins: ReadonlySet<string>

  constructor(allowedOrigins: readonly string[]) {
    this.#origins = new Set(allowedOrigins)
  }

  judge(headers: IncomingHttpHeaders, method: string): BrowserVerdict {
    const { origin } = headers
    if (origin === undefined) return this.#judgeSite(headers)
    // Several in one header, or in several, are no origin that is named.
    if (!this.#origins.has(origin)) return 'refused'
    return method === 'OPTIONS' && headers['access-control-request-method'] !== undefined ? 'preflight' : 'allowed'
  }

  /** Adds the headers of an answer. To the response itself: not all answers are written by fastify. */
  addHeaders({ origin }: IncomingHttpHeaders, response: ServerResponse): void {
    if (this.#origins.size === 0) return
    response.setHeader('vary', 'Origin')
    if (origin === undefined || !this.#origins.has(origin)) return
    response.setHeader('access-control-allow-origin', origin)
    response.setHeader('access-control-expose-headers', 'retry-after')
  }

  /** Adds what the answer to a preflight says besides. No credentials are allowed: browsers add those automatically, and a token is no such. */
  addPreflightHeaders(headers: IncomingHttpHeaders, response: ServerResponse): void {
    response.setHeader('vary', 'Origin, Access-Control-Request-Headers')
    response.setHeader('access-control-allow-methods', 'GET, POST')
    response.setHeader('access-control-max-age', String(MAX_AGE_SECONDS))
    const wanted = headers['access-control-request-headers']
    if (wanted !== undefined && /^[\w!#$%&'*+.^`|~, -]{1,8192}$/.test(wanted))
      response.setHeader('access-control-allow-headers', wanted)
  }

  /** Requests without an origin: `GET` of images, forms, links and scripts. Browsers of before 2023 may say nothing of them. */
  #judgeSite(headers: IncomingHttpHeaders): BrowserVerdict {
    const site = headers['sec-fetch-site']
    if (site === undefined || site === 'none') return 'allowed'
    // A page of this very address, as where a proxy serves both.
    const isOwn =
      site === 'same-origin' && ['http', 'https'].some((scheme) => this.#origins.has(`${scheme}://${headers.host}`))
    return isOwn ? 'allowed' : 'refused'
  }
}
