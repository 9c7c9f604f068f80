import { isIP } from 'node:net'
import { option } from './options/fields.js'
import type { TransportUrl } from './transport/url.js'

export interface HostAddress {
  readonly host: string
  readonly port: number
}

/**
 * An option that holds hosts. An invalid entry is reported by its number and never shown, since it may contain user and
 * password.
 */
export function hostsOption(settings: { readonly default: readonly string[] }) {
  return option.custom<readonly string[]>('string[]', checkHosts, settings)
}

function checkHosts(raw: unknown): { readonly value: readonly string[] } | string {
  const list: unknown = typeof raw === 'string' ? raw.split(',').map((part) => part.trim()) : raw
  const isList = Array.isArray(list) && list.length > 0
  const wrong = isList ? list.findIndex((one) => !isHost(one)) : -1
  if (isList && wrong < 0) return { value: list }
  const which = wrong < 0 ? '' : ` (entry ${wrong + 1} is not one)`
  return `must be a list of hosts${which}, each as host or host:port, IPv6 addresses in brackets; user, password and path are separate options`
}

function isHost(raw: unknown): raw is string {
  if (typeof raw !== 'string') return false
  return isIP(raw) !== 0 || /^(?:\[[0-9a-f:.]+\]|[^:@/?#\s[\]]+)(?::\d{1,5})?$/i.test(raw)
}

/** Returns the hosts of a URL as `host` or `host:port`, IPv6 addresses in brackets; `undefined` when it names none. */
export function hostTexts(url: TransportUrl): readonly string[] | undefined {
  if (url.hosts.length === 0) return undefined
  return url.hosts.map(({ host, port }) => (port === undefined ? bracketed(host) : `${bracketed(host)}:${port}`))
}

/** Parses `host`, `host:port` and `[::1]:port`; a host without port gets `defaultPort`. */
export function parseHostText(text: string, defaultPort: number): HostAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text)
  const host = match?.[1] ?? match?.[2] ?? text
  return { host, port: match?.[3] === undefined ? defaultPort : Number(match[3]) }
}

/** Returns a host as it is written before a colon: IPv6 addresses in brackets. */
export function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

/** Returns an environment variable, trimmed; `undefined` when it is unset or empty. */
export function environmentText(environment: NodeJS.ProcessEnv, variable: string): string | undefined {
  return environment[variable]?.trim() || undefined
}

/** The host of an HTTP request. */
export interface NamedHost {
  /** In lower case, without a trailing dot; IPv6 addresses in brackets. */
  readonly name: string
  readonly port: string | undefined
}

/** Returns `undefined` for an invalid host (RFC 9110, section 7.2), such as one with a user. */
export function parseNamedHost(text: string | undefined): NamedHost | undefined {
  const match = /^(\[[\da-f:.]+\]|[^\s:[\]/\\@?#,]+)(?::(\d{0,5}))?$/i.exec(text ?? '')
  if (match?.[1] === undefined) return undefined
  return { name: match[1].toLowerCase().replace(/\.$/, ''), port: match[2] === '' ? undefined : match[2] }
}

/** Returns whether it is an IP address, to which no name can be resolved (DNS rebinding). */
export function isNamedByAddress({ name }: NamedHost): boolean {
  return isIP(name) === 4 || isIP(name.replace(/^\[(.*)\]$/, '$1')) === 6
}

/** Returns whether a host, as an IP address or `localhost`, is this machine's loopback interface. */
export function isLoopback(address: string): boolean {
  return address === '::1' || address === 'localhost' || /^(?:::ffff:)?127\.\d+\.\d+\.\d+$/.test(address)
}
