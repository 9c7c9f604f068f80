import { withSignal } from '@streamswitch/core/driver'
import type { AmqpConnection } from './connection.js'

/** A share in a connection. */
export interface Lease {
  readonly connection: AmqpConnection
  /** The last one to release closes the connection. Never rejects. */
  release(): Promise<void>
}

interface Shared {
  readonly opening: Promise<AmqpConnection>
  users: number
}

/**
 * The connection that everything of one transport publishes on. Consumers have their own: the broker stops reading from a
 * connection that publishes while it is short of memory, and their acks must still get through then.
 */
export class SharedConnection {
  readonly #open: () => Promise<AmqpConnection>
  #current: Shared | undefined

  constructor(open: () => Promise<AmqpConnection>) {
    this.#open = open
  }

  /** The open connection, if there is one. */
  native: unknown = undefined

  /** Opens the connection, or shares the one that is open. Rejects with a classified error, or when the signal aborts. */
  async acquire(signal?: AbortSignal): Promise<Lease> {
    const shared = this.#share()
    shared.users += 1
    try {
      const connection = await withSignal(shared.opening, signal)
      return this.#lease(shared, connection)
    } catch (error) {
      void this.#leave(shared)
      throw error
    }
  }

  #share(): Shared {
    if (this.#current !== undefined) return this.#current
    const shared: Shared = { opening: this.#open(), users: 0 }
    const forget = (): void => {
      if (this.#current !== shared) return
      this.#current = undefined
      this.native = undefined
    }
    shared.opening.then((connection) => {
      if (this.#current === shared) this.native = connection.native
      if (connection.gone) forget()
      else connection.listen({ lost: forget })
    }, forget)
    this.#current = shared
    return shared
  }

  #lease(shared: Shared, connection: AmqpConnection): Lease {
    let released: Promise<void> | undefined
    return {
      connection,
      release: () => {
        released ??= this.#leave(shared)
        return released
      },
    }
  }

  async #leave(shared: Shared): Promise<void> {
    shared.users -= 1
    if (shared.users > 0) return
    if (this.#current === shared) {
      this.#current = undefined
      this.native = undefined
    }
    await shared.opening.then(
      (connection) => connection.close(),
      () => {},
    )
  }
}
