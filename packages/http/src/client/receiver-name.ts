const HIDDEN = '***'
/** A shorter value occurs in too many strings by chance. */
const MIN_HIDDEN_LENGTH = 4

/** How errors and logs name a receiver: its URL without the values of its query, which may be credentials. */
export class ReceiverName {
  readonly url: string
  readonly #path: string
  readonly #secrets: readonly string[]

  /** @param url - absolute, without user and password */
  constructor(url: string) {
    const { origin, pathname, search } = new URL(url)
    const pairs = search === '' ? [] : search.slice(1).split('&')
    this.url = `${origin}${pathname}${pairs.length === 0 ? '' : `?${pairs.map(withoutValue).join('&')}`}`
    this.#path = pathname
    this.#secrets = [...new Set(pairs.flatMap(formsOfValue))]
  }

  /** What the receiver says of a request, without what was secret in it: servers quote the request's target, and sometimes its credentials. */
  hide(said: string, authorization?: string): string {
    const credentials = authorization === undefined ? [] : [authorization.slice(authorization.indexOf(' ') + 1)]
    let shown = said
    for (const secret of [...this.#secrets, ...credentials])
      if (secret.length >= MIN_HIDDEN_LENGTH) shown = shown.replaceAll(secret, HIDDEN)
    // With the method GET, the values of the message too.
    return shown.split(`${this.#path}?`).map(withoutQuery).join(`${this.#path}?`)
  }
}

/** A text that follows on a question mark, except the first: without the query that it begins with. */
function withoutQuery(text: string, index: number): string {
  return index === 0 ? text : text.replace(/^[^\s"'<>]*/, HIDDEN)
}

function withoutValue(pair: string): string {
  const name = /^([^=]*)=/.exec(pair)?.[1]
  return name === undefined ? HIDDEN : `${name}=${HIDDEN}`
}

/** The value of a parameter (all of one without a name) as it is written and as it is meant. */
function formsOfValue(pair: string): string[] {
  const written = pair.slice(pair.indexOf('=') + 1)
  try {
    return [written, decodeURIComponent(written), decodeURIComponent(written.replaceAll('+', ' '))]
  } catch {
    return [written]
  }
}
