import { type Message, Transport, type TransportOptions } from '@streamswitch/core'
import { findFreePort } from '@streamswitch/testkit/brokers'
import http from '../../src/index.js'

/** Transports on ports of their own, closed with the bed. */
export class Bed implements AsyncDisposable {
  readonly #transports: Transport[] = []
  readonly log: string[] = []

  /** A transport at a base URL; without one, at a fresh port. */
  async open(
    options: TransportOptions['options'] & object = {},
    url?: string,
  ): Promise<Transport & { readonly base: string }> {
    const base = url ?? `http://127.0.0.1:${await findFreePort()}`
    const keep = (message: string): void => void this.log.push(message)
    const transport = new Transport(http, base, {
      environment: {},
      options,
      logger: { debug: () => {}, info: keep, warn: keep, error: keep },
    })
    this.#transports.push(transport)
    return Object.assign(transport, { base })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.close({ timeoutMs: 0 })))
  }
}

/** Starts a loop; resolves once it has joined. */
export async function consume(
  transport: Transport,
  topic: string,
  group: string,
  handler: (message: Message) => unknown,
  settings: object = {},
) {
  const loop = transport.consumer(topic, { group, retry: { attempts: 5, minDelayMs: 1 }, ...settings })
  loop.handle(handler)
  await loop.init()
  void loop.run().catch(() => {})
  return loop
}

/** Waits for a condition that the events of a test bring about. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 15_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited too long for ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** A gate that handlers wait at. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open: () => void = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}
