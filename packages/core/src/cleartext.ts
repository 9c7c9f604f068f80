import { bracketed, isLoopback, parseHostText } from './host-address.js'
import type { Logger } from './logger.js'

/** What an adapter will send without TLS. */
export interface CleartextSecret {
  readonly transport: string
  readonly logger: Logger
  /** What is sent: `the password`. */
  readonly what: string
  /** Where it is sent, as `host` or `host:port`. */
  readonly hosts: readonly string[]
  /** How to use TLS, as an order. */
  readonly advice: string
}

/** Logs one warning, without the secret, where hosts are other machines. Call it once for each transport, when it is made. */
export function warnOfCleartext({ transport, logger, what, hosts, advice }: CleartextSecret): void {
  const names = new Set(hosts.map((text) => parseHostText(text, 0).host.replace(/^\[|\]$/g, '')))
  const remote = [...names].filter((host) => !isLoopback(host)).map(bracketed)
  if (remote.length === 0) return
  logger.warn(`${transport}: ${what} goes to ${remote.join(', ')} without TLS, readable on the way: ${advice}`)
}
