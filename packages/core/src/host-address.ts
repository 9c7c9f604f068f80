import type { TransportUrl } from './transport/url.js'

export interface HostAddress {
  readonly host: string
  readonly port: number
}

/** The hosts of a URL as `host` or `host:port`, IPv6 addresses in brackets; `undefined` where it names none. */
export function hostTexts(url: TransportUrl): readonly string[] | undefined {
  if (url.hosts.length === 0) return undefined
  return url.hosts.map(({ host, port }) => (port === undefined ? bracketed(host) : `${bracketed(host)}:${port}`))
}

/** Takes `host`, `host:port` and `[::1]:port` apart; a host alone gets `defaultPort`. */
export function parseHostText(text: string, defaultPort: number): HostAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text)
  const host = match?.[1] ?? match?.[2] ?? text
  return { host, port: match?.[3] === undefined ? defaultPort : Number(match[3]) }
}

/** A host as it stands before a colon: IPv6 addresses in brackets. */
export function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

/** An environment variable without the spaces around it; `undefined` where it isn't set or empty. */
export function environmentText(environment: NodeJS.ProcessEnv, variable: string): string | undefined {
  return environment[variable]?.trim() || undefined
}

/** Whether an IP address, of a peer or of a listening server, is one of this machine's own loopback addresses. */
export function isLoopback(address: string): boolean {
  return address === '::1' || /^(?:::ffff:)?127\./.test(address)
}
