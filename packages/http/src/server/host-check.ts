import { isNamedByAddress, type NamedHost, parseNamedHost } from '@streamswitch/core/driver'

/**
 * Checks the host of a request against the allowed ones. A web page whose name is resolved to this server (DNS
 * rebinding) sends its own name, and is of the same origin as the server for its browser.
 */
export class HostCheck {
  readonly #given: readonly string[] | undefined
  readonly #listenHost: string
  readonly #isLoopbackOnly: () => boolean
  /** `'any'`: any host. `undefined`: not known yet. */
  #allowed: readonly string[] | 'any' | undefined

  /**
   * @param given - the `allowedHosts` option
   * @param listenHost - where the server listens, as it was configured
   * @param isLoopbackOnly - only processes of this machine reach it. Without `given`, its usual names and IP addresses alone are allowed then.
   *   Called once the server listens.
   */
  constructor(given: readonly string[] | undefined, listenHost: string, isLoopbackOnly: () => boolean) {
    this.#given = given
    this.#listenHost = listenHost
    this.#isLoopbackOnly = isLoopbackOnly
  }

  /** @param target - the request target as it came: its absolute form names a host as well, which is the one that counts (RFC 9112, section 3.2.2). */
  allows(host: string | undefined, target: string): boolean {
    this.#allowed ??= this.#whatIsAllowed()
    const allowed = this.#allowed
    if (allowed === 'any') return true
    const authority = /^[a-z][a-z\d+.-]*:\/\/([^/?#]*)/i.exec(target)?.[1]
    return [host, ...(authority === undefined ? [] : [authority])].every((one) => {
      const named = parseNamedHost(one)
      return named !== undefined && allowed.some((pattern) => matches(named, pattern))
    })
  }

  #whatIsAllowed(): readonly string[] | 'any' {
    if (this.#given !== undefined) return this.#given.includes('*') ? 'any' : this.#given
    return this.#isLoopbackOnly() ? ['localhost', '*.localhost', this.#listenHost.toLowerCase(), ANY_ADDRESS] : 'any'
  }
}

/** Any IP address. */
const ANY_ADDRESS = 'ip'

function matches(host: NamedHost, pattern: string): boolean {
  if (pattern === ANY_ADDRESS) return isNamedByAddress(host)
  const { name, port } = host
  const [, wantedName = pattern, wantedPort] = /^(\[.*\]|[^:]*)(?::(\d+))?$/.exec(pattern) ?? []
  if (wantedPort !== undefined && wantedPort !== port) return false
  return wantedName.startsWith('*.')
    ? name.endsWith(wantedName.slice(1)) && name.length >= wantedName.length
    : name === wantedName
}
