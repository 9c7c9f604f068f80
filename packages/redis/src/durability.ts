import { StreamError } from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import type { Durability } from './options.js'

/**
 * Waits until what a connection has written is as durable as requested. One wait covers every batch sent before it: the
 * server answers in order, and counts everything that the connection wrote.
 */
export class DurabilityBarrier {
  readonly #connection: Connection
  readonly #durability: Durability
  readonly #timeoutMs: number
  #next: Promise<void> | undefined

  constructor(connection: Connection, durability: Durability, timeoutMs: number) {
    this.#connection = connection
    this.#durability = durability
    this.#timeoutMs = timeoutMs
  }

  /** Resolves when everything sent before this call is durable; rejects with TIMEOUT when that takes too long. */
  wait(): Promise<void> | undefined {
    if (this.#durability === 'reply') return undefined
    this.#next ??= Promise.resolve().then(() => {
      this.#next = undefined
      return this.#confirm()
    })
    return this.#next
  }

  async #confirm(): Promise<void> {
    const durability = this.#durability
    if (durability === 'reply') return
    if (durability === 'fsync') {
      const [local] = (await this.#connection.call('WAITAOF', 1, 0, this.#timeoutMs)) as [number, number]
      if (local < 1) throw this.#late('the append-only file was not on disk')
      return
    }
    const replicas = (await this.#connection.call('WAIT', durability.replicas, this.#timeoutMs)) as number
    if (replicas < durability.replicas) throw this.#late(`${replicas} of ${durability.replicas} replicas had it`)
  }

  #late(what: string): StreamError {
    return new StreamError(
      `${what} within ${this.#timeoutMs} ms (durabilityTimeoutMs): the message is stored, but not as durably as requested`,
      {
        code: 'TIMEOUT',
        transport: 'redis',
        operation: 'send',
      },
    )
  }
}
