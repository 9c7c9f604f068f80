import { expect } from 'vitest'
import { ConnectionReader, type ConnectionSource, type SeenConnection } from './connections.js'

/** The client id of what is to log in as this user. */
export function clientIdOf(user: string): string {
  return `product.${user}.`
}

const CLIENT_ID = /^product\.([^.]+)\./
/** That, or the client id of a transport that was opened without any. */
const IS_PRODUCT = /^(product\.|streamswitch-)/

/** As whom the broker knows the product's connections. */
export class ProductConnections {
  readonly #users: ReadonlySet<string>
  readonly #reader: ConnectionReader
  #count = 0

  /** @param users - the limited users. */
  constructor(source: ConnectionSource, users: readonly string[]) {
    this.#users = new Set(users)
    this.#reader = new ConnectionReader(source)
  }

  /** Rejects where one of them isn't the limited user of its case. */
  async check(): Promise<void> {
    const product = (await this.#reader.read()).filter(({ client }) => IS_PRODUCT.test(client))
    this.#count += product.length
    expect(
      product.filter((one) => !this.#isLimited(one)),
      'connections that are not the limited user',
    ).toEqual([])
  }

  /** Rejects where the broker has shown none at all. */
  async checkAny(): Promise<void> {
    await this.check()
    expect(this.#count, 'connections of the product that the broker has shown').toBeGreaterThan(0)
  }

  #isLimited({ client, user }: SeenConnection): boolean {
    const wanted = CLIENT_ID.exec(client)?.[1]
    return wanted === undefined ? this.#users.has(user) : wanted === user
  }
}
