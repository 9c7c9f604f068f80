import { messageOf } from '@streamswitch/core/driver'
import type { ConfirmChannel, Options } from 'amqplib'
import type { AmqpConnection } from './connection.js'
import { type ChannelEnd, explained } from './errors.js'
import type { Lease, SharedConnection } from './shared-connection.js'

interface Open {
  readonly lease: Lease
  readonly channel: ConfirmChannel
  /** Where messages came back from. */
  readonly returned: Set<string>
  /** Set once the channel has ended. */
  end: ChannelEnd | undefined
}

/**
 * What consumers publish for themselves (who is there, how often a message was tried) goes out on the connection of the
 * producers, so that a broker that blocks publishers goes on reading the consumers' acks. Opened when it is first needed, and
 * again after a loss.
 */
export class ControlChannel {
  readonly #shared: SharedConnection
  #opening: Promise<Open> | undefined
  #current: Open | undefined
  #closed = false

  constructor(shared: SharedConnection) {
    this.#shared = shared
  }

  /** Resolves once the broker has confirmed the message. Rejects when it is unavailable; the next call tries again. */
  async publish(exchange: string, routingKey: string, body: Buffer, properties: Options.Publish = {}): Promise<void> {
    const open = await this.#ensure()
    const { lease, channel, returned } = open
    await lease.connection
      .call(`publish to ${exchange || routingKey}`, confirmed(channel, exchange, routingKey, body, properties))
      .catch((error: unknown) => {
        throw explained(error, open.end)
      })
    // A message that comes back does so before its confirm.
    if (returned.delete(`${exchange}\n${routingKey}`))
      throw new Error(`NO_ROUTE - nothing is bound for '${routingKey}' to '${exchange}'`)
  }

  /** Resolves when a message would go out at once. Rejects as {@link ControlChannel.publish} does. */
  async open(): Promise<void> {
    await this.#ensure()
  }

  /** The connection it publishes on, for whether that is blocked. `undefined` while there is none. */
  get connection(): AmqpConnection | undefined {
    return this.#current?.lease.connection
  }

  /** Never rejects. */
  async close(): Promise<void> {
    this.#closed = true
    const opening = this.#opening
    this.#opening = undefined
    this.#current = undefined
    const open = await opening?.catch(() => undefined)
    if (open === undefined) return
    await open.lease.connection.call('close a channel', open.channel.close()).catch(() => {})
    await open.lease.release()
  }

  #ensure(): Promise<Open> {
    if (this.#closed) return Promise.reject(new Error('channel closed'))
    if (this.#opening === undefined) {
      const opening = this.#open()
      this.#opening = opening
      opening.then(
        (open) => {
          if (this.#opening === opening) this.#current = open
        },
        () => this.#forget(opening),
      )
    }
    return this.#opening
  }

  async #open(): Promise<Open> {
    const lease = await this.#shared.acquire()
    try {
      let open: Open | undefined
      const channel = await lease.connection.openConfirmChannel((reason) => {
        if (open !== undefined) open.end = { reason }
        this.#opening = undefined
        this.#current = undefined
        void lease.release()
      })
      const returned = new Set<string>()
      channel.on('return', ({ fields }) => returned.add(`${fields.exchange}\n${fields.routingKey}`))
      open = { lease, channel, returned, end: undefined }
      return open
    } catch (error) {
      await lease.release()
      throw error
    }
  }

  #forget(opening: Promise<Open>): void {
    if (this.#opening !== opening) return
    this.#opening = undefined
    this.#current = undefined
  }
}

/** Publishes one message and waits for the broker's confirm. */
export function confirmed(
  channel: ConfirmChannel,
  exchange: string,
  routingKey: string,
  body: Buffer,
  properties: Options.Publish,
): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.publish(exchange, routingKey, body, { persistent: true, ...properties }, (error: unknown) => {
      if (error === null || error === undefined) resolve()
      else reject(error instanceof Error ? error : new Error(messageOf(error)))
    })
  })
}
