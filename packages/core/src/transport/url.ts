import { StreamError } from '../errors.js'

/** A parsed transport address. Several hosts are seeds of one cluster. */
export interface TransportUrl {
  /** Without the colon: `redis`, `rabbitmq-stream+tls`. */
  readonly scheme: string
  readonly hosts: readonly { readonly host: string; readonly port: number | undefined }[]
  readonly username: string | undefined
  readonly password: string | undefined
  /** Decoded, without its leading slash; empty when there is none. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** The URL without the password and without query values that may be secret: for errors and logs. */
  readonly redacted: string
}

const SHAPE = /^([a-z][a-z0-9+.-]*):\/\/(?:([^@/?#]*)@)?([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i
const SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i
const HOST = /^(\[[0-9a-f:.]+\]|[^:[\]\s]+)(?::(\d+))?$/i

/**
 * Parses a URL such as `kafka://user:secret@b1:9092,b2:9092/path?clientId=billing`. Throws INVALID_ARGUMENT that shows
 * the URL without its secrets.
 */
export function parseTransportUrl(text: string): TransportUrl {
  const redacted = redactUrl(text)
  const invalid = (reason: string): StreamError =>
    new StreamError(
      `malformed transport URL '${redacted}': ${reason}; expected scheme://[user:password@]host[:port][,host[:port]][/path][?option=value]`,
      {
        code: 'INVALID_ARGUMENT',
        operation: 'configure',
      },
    )
  const trimmed = text.trim()
  // What isn't valid Unicode can't be encoded again, for example for a path of HTTP.
  if (!text.isWellFormed()) throw invalid('it has a lone surrogate')
  if (!SCHEME.test(trimmed)) throw invalid("it doesn't begin with scheme://")
  // What follows a '#' may be the rest of a password: no part of it may be shown.
  const match = SHAPE.exec(trimmed)
  if (match === null) throw invalid("it has a '#': percent-encode it as %23")
  const [, scheme = '', userInfo, hostList = '', path = '', query = ''] = match
  if (`${hostList}${path}${query}`.includes('@'))
    throw invalid(
      "it has an '@' behind the hosts: percent-encode it as %40, and in user and password '/' as %2F, '?' as %3F, '#' as %23",
    )
  const decode = (part: string, what: string): string => {
    try {
      return decodeURIComponent(part)
    } catch {
      throw invalid(`the ${what} isn't percent-encoded properly`)
    }
  }
  const colon = userInfo?.indexOf(':') ?? -1
  const username = userInfo === undefined ? undefined : decode(colon < 0 ? userInfo : userInfo.slice(0, colon), 'user')
  const password = userInfo === undefined || colon < 0 ? undefined : decode(userInfo.slice(colon + 1), 'password')
  return {
    scheme: scheme.toLowerCase(),
    hosts: hostList === '' ? [] : hostList.split(',').map((host) => parseHost(host, invalid)),
    username: username === '' ? undefined : username,
    password: password === '' ? undefined : password,
    path: decode(path, 'path'),
    query: parseQuery(query, invalid),
    redacted,
  }
}

function parseHost(text: string, invalid: (reason: string) => StreamError): { host: string; port: number | undefined } {
  const match = HOST.exec(text)
  // Not quoted: it may be user and password without the host.
  if (match === null) throw invalid('a host in it is empty, or its port is not a number')
  const [, host = '', port] = match
  if (port !== undefined && (port.length > 5 || Number(port) < 1 || Number(port) > 65_535))
    throw invalid('a port in it is not between 1 and 65535')
  return { host: host.replace(/^\[|\]$/g, ''), port: port === undefined ? undefined : Number(port) }
}

const SECRET_NAME = /pass|secret|token|credential|key|auth|signature|^sig$|jwt|bearer|cookie/i

function parseQuery(text: string, invalid: (reason: string) => StreamError): Record<string, string> {
  const query: Record<string, string> = {}
  let secretBefore = false
  for (const pair of text === '' ? [] : text.split('&')) {
    // What looks like another option may be the rest of a secret.
    if (secretBefore && !/^[a-z_][\w.-]*=/i.test(pair))
      throw invalid("an '&' in it isn't percent-encoded (%26), or an option has no value")
    for (const [name, value] of new URLSearchParams(pair)) {
      if (Object.hasOwn(query, name))
        throw invalid(secretBefore ? 'an option occurs twice' : `option '${name}' occurs twice`)
      Object.defineProperty(query, name, { value, enumerable: true })
      secretBefore ||= SECRET_NAME.test(name)
    }
  }
  return query
}

/**
 * Returns a URL, or an attempt at one, without parts that may be secret: a password and what could be the rest of one
 * that isn't percent-encoded, a user without password, a port that isn't a number, and the query from its first
 * secret-looking name on.
 */
export function redactUrl(text: string): string {
  const trimmed = text.trim()
  const scheme = SCHEME.exec(trimmed)?.[0]
  // Without :// it may be anything with a typo in it.
  if (scheme === undefined) return /^[\w.-]{0,60}(?::\d{1,5})?$/.test(trimmed) ? trimmed : HIDDEN
  const [, authority = '', rest = ''] = /^([^/?#]*)(.*)$/s.exec(trimmed.slice(scheme.length)) ?? []
  if (rest.includes('@') || rest.includes('#')) return `${scheme}${HIDDEN}`
  const at = authority.lastIndexOf('@')
  const hosts = authority.slice(at + 1)
  const credentials = at < 0 ? '' : `${redactCredentials(authority.slice(0, at))}@`
  const areHosts = hosts === '' || hosts.split(',').every((host) => host === '' || HOST.test(host))
  if (!areHosts) return `${scheme}${credentials}${HIDDEN}`
  return `${scheme}${credentials}${hosts}${redactQuery(rest)}`.slice(0, 300)
}

const HIDDEN = '***'

function redactCredentials(text: string): string {
  const user = /^([\w.%+~-]*):/.exec(text)?.[1]
  return user === undefined ? HIDDEN : `${user}:${HIDDEN}`
}

function redactQuery(rest: string): string {
  const secret = [...rest.matchAll(/[?&]([^=&]*)(?:=[^&]*)?/g)].find(([, name = '']) => SECRET_NAME.test(decoded(name)))
  return secret === undefined ? rest : `${rest.slice(0, secret.index + 1 + (secret[1]?.length ?? 0))}=${HIDDEN}`
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
