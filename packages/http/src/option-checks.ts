/** Topic -> group -> base URLs of its replicas, without a slash at the end. */
export type Routes = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>

/** A plain HTTP receiver. */
export interface Endpoint {
  readonly url: string
  readonly method: 'GET' | 'POST'
  readonly contentType: string | undefined
  readonly token: string | undefined
}

/** Topic -> plain HTTP receivers. */
export type Endpoints = Readonly<Record<string, readonly Endpoint[]>>

export interface ListenAddress {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
}

type Checked<Value> = { readonly value: Value } | string

/** What the `routes` option accepts; returns what it must be where it isn't. */
export function checkRoutes(raw: unknown): Checked<Routes> {
  const expected =
    'must be an object (or its JSON): topic -> group -> list of http:// or https:// base URLs, without credentials, query and fragment'
  const routes: Record<string, Record<string, readonly string[]>> = Object.create(null)
  const source = fromJson(raw)
  if (!isObject(source)) return expected
  for (const [topic, groups] of Object.entries(source)) {
    if (!isObject(groups)) return expected
    const byGroup: Record<string, readonly string[]> = Object.create(null)
    for (const [group, urls] of Object.entries(groups)) {
      const list = typeof urls === 'string' ? [urls] : urls
      if (!Array.isArray(list) || list.length === 0 || !list.every((url) => isBaseUrl(url))) return expected
      byGroup[group] = list.map((url: string) => trimSlash(url))
    }
    routes[topic] = byGroup
  }
  return { value: routes }
}

/** What the `baseUrls` option accepts; returns what it must be where it isn't. */
export function checkBaseUrls(raw: unknown): Checked<readonly string[]> {
  const list: unknown = typeof raw === 'string' ? raw.split(',').map((part) => part.trim()) : raw
  if (Array.isArray(list) && list.length > 0 && list.every((url) => isBaseUrl(url))) return { value: list }
  return 'must be a list of http:// or https:// URLs, without credentials (username, password), query and fragment'
}

/** What the `endpoints` option accepts; returns what it must be where it isn't. */
export function checkEndpoints(raw: unknown): Checked<Endpoints> {
  const expected =
    'must be an object (or its JSON): topic -> URL or { url, method, contentType, token }, or a list of them'
  const endpoints: Record<string, readonly Endpoint[]> = Object.create(null)
  const source = fromJson(raw)
  if (!isObject(source)) return expected
  for (const [topic, given] of Object.entries(source)) {
    const list = (Array.isArray(given) ? given : [given]).map(toEndpoint)
    if (list.length === 0 || list.includes(undefined)) return expected
    endpoints[topic] = list as Endpoint[]
  }
  return { value: endpoints }
}

/** What the `listen` option accepts; returns what it must be where it isn't. */
export function checkListen(raw: unknown): Checked<ListenAddress> {
  const match = typeof raw === 'string' ? /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s/]*)):(\d{1,5})$/i.exec(raw) : null
  const port = Number(match?.[3])
  if (match === null || port > 65_535)
    return "must be host:port, for example '0.0.0.0:8080' or '[::]:8080' (port 0: any free one)"
  return { value: { host: match[1] ?? (match[2] || '0.0.0.0'), port } }
}

/** Returns the default listen address: see the `listen` option. */
export function defaultListen(baseUrl: string): ListenAddress {
  const url = new URL(baseUrl)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port)
  if (host === 'localhost') return { host: '127.0.0.1', port }
  return { host: host === '::1' || host.startsWith('127.') ? host : '0.0.0.0', port }
}

function toEndpoint(raw: unknown): Endpoint | undefined {
  if (isHttpUrl(raw)) return { url: raw, method: 'POST', contentType: undefined, token: undefined }
  if (!isObject(raw) || !isHttpUrl(raw.url)) return undefined
  const { url, method = 'POST', contentType, token, ...unknown } = raw
  if (Object.keys(unknown).length > 0 || (method !== 'GET' && method !== 'POST')) return undefined
  if (
    (contentType !== undefined && typeof contentType !== 'string') ||
    (token !== undefined && (typeof token !== 'string' || token.trim() === ''))
  )
    return undefined
  return { url, method, contentType, token }
}

function fromJson(raw: unknown): unknown {
  if (typeof raw !== 'string') return raw
  try {
    return JSON.parse(raw)
  } catch {
    return undefined
  }
}

/** True for an absolute http or https URL without credentials in it. */
export function isHttpUrl(raw: unknown): raw is string {
  if (typeof raw !== 'string' || !URL.canParse(raw)) return false
  const { protocol, username, password } = new URL(raw)
  return (protocol === 'http:' || protocol === 'https:') && username === '' && password === ''
}

function isBaseUrl(raw: unknown): raw is string {
  return isHttpUrl(raw) && !/[?#]/.test(raw)
}

function trimSlash(url: string): string {
  return url.replace(/\/+$/, '')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
