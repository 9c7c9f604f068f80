import { StreamError } from '../errors.js'

/** A transport's address, taken apart. Several hosts are the seeds of one cluster. */
export interface TransportUrl {
  /** Without the colon: `redis`, `rabbitmq-stream+tls`. */
  readonly scheme: string
  readonly hosts: readonly { readonly host: string; readonly port: number | undefined }[]
  readonly username: string | undefined
  readonly password: string | undefined
  /** Decoded, without its leading slash; empty when there is none. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** The URL with the password and every query value that may be secret taken out: for errors and logs. */
  readonly redacted: string
}

const SHAPE = /^([a-z][a-z0-9+.-]*):\/\/(?:([^@/?#]*)@)?([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?(?:#.*)?$/i

/**
 * Takes a URL such as `kafka://user:secret@b1:9092,b2:9092/path?clientId=billing` apart. Throws INVALID_ARGUMENT that shows the
 * URL without its secrets.
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
  const match = SHAPE.exec(text.trim())
  if (match === null) throw invalid("it doesn't begin with scheme://")
  const [, scheme = '', userInfo, hostList = '', path = '', query = ''] = match
  // Then what was taken for host, path or query may be the rest of a password: no part of it may be shown.
  if (`${hostList}${path}${query}`.includes('@'))
    throw invalid("a character of user or password, or an '@' elsewhere, isn't percent-encoded")
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
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]\s]+)(?::(\d+))?$/i.exec(text)
  if (match === null) throw invalid(`'${text}' is no host`)
  const [, host = '', port] = match
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535))
    throw invalid(`port ${port} is not between 1 and 65535`)
  return { host: host.replace(/^\[|\]$/g, ''), port: port === undefined ? undefined : Number(port) }
}

function parseQuery(text: string, invalid: (reason: string) => StreamError): Record<string, string> {
  const query: Record<string, string> = {}
  for (const [name, value] of new URLSearchParams(text)) {
    if (Object.hasOwn(query, name)) throw invalid(`option '${name}' stands in it twice`)
    Object.defineProperty(query, name, { value, enumerable: true })
  }
  return query
}

const SECRET_NAME = /pass|secret|token|credential|key/i

/**
 * A URL, or what was meant as one, without what may be secret: everything between the user's name and the last `@` (a password
 * may hold unescaped slashes), and query values with a secret-looking name.
 */
export function redactUrl(text: string): string {
  const start = text.indexOf('://') + 3
  const at = text.lastIndexOf('@')
  const colon = text.indexOf(':', start)
  let shown = text
  // What has no :// may be anything with a slip in it: nothing before the @ is safe to show.
  if (start < 3 && at >= 0) shown = `***${text.slice(at)}`
  else if (colon >= 0 && colon < at) shown = `${text.slice(0, colon)}:***${text.slice(at)}`
  return shown
    .replace(/([?&])([^=&#]+)=([^&#]*)/g, (all, mark: string, name: string) =>
      SECRET_NAME.test(name) ? `${mark}${name}=***` : all,
    )
    .slice(0, 300)
}
