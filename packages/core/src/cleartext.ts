import { bracketed, isLoopback, parseHostText } from './host-address.js'
import type { Logger } from './logger.js'

/** Sensitive data that an adapter sends without TLS. */
export interface CleartextSecret {
  readonly transport: string
  readonly logger: Logger
  /** What is sent: `the password`. */
  readonly what: string
  /** Where it is sent, as `host` or `host:port`. */
  readonly hosts: readonly string[]
  /** How to enable TLS, in the imperative. */
  readonly advice: string
}

/**
 * Logs one warning, without the secret, when hosts are on other machines. Call it once per transport, when it is
 * created.
 */
export function warnOfCleartext({ transport, logger, what, hosts, advice }: CleartextSecret): void {
  const names = new Set(hosts.map((text) => parseHostText(text, 0).host.replace(/^\[|\]$/g, '')))
  const remote = [...names].filter((host) => !isLoopback(host)).map(bracketed)
  if (remote.length === 0) return
  logger.warn(`${transport}: ${what} is sent unencrypted to ${remote.join(', ')}: ${advice}`)
}
