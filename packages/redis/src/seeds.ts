import { type HostAddress, parseHostText } from '@streamswitch/core/driver'
import { classifyError } from './errors.js'

/** Default port of a server. */
export const PORT = 6379

/** The servers of one data set, of which one is the primary. */
export class Seeds {
  readonly addresses: readonly HostAddress[]
  #next = 0

  constructor(hosts: readonly string[]) {
    this.addresses = hosts.map((host) => parseHostText(host, PORT))
  }

  /** Whether it must be determined which one is the primary. */
  get several(): boolean {
    return this.addresses.length > 1
  }

  /**
   * Tries one server after the other, beginning with the one that worked last, until `connect` resolves. Rejects with
   * the last error, or immediately with one that another server can't help.
   */
  async find<T>(connect: (address: HostAddress) => Promise<T>, signal: AbortSignal): Promise<T> {
    let failure: unknown
    const first = this.#next
    for (const index of this.addresses.keys()) {
      const at = (first + index) % this.addresses.length
      // If the time runs out at a server that hangs, the next attempt begins behind it.
      this.#next = (at + 1) % this.addresses.length
      try {
        const found = await connect(this.addresses[at] as HostAddress)
        this.#next = at
        return found
      } catch (error) {
        signal.throwIfAborted()
        if (!classifyError(error, 'open').retryable) throw error
        failure = error
      }
    }
    throw failure
  }
}
