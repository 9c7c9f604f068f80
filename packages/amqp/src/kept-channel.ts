import type { ConfirmChannel } from 'amqplib'
import type { AmqpConnection } from './connection.js'
import { type ChannelEnd, explained } from './errors.js'

interface Open {
  readonly channel: ConfirmChannel
  /** Set once the channel has ended. */
  end: ChannelEnd | undefined
}

/** A channel for repeated calls: opened by the first one, kept open, and reopened after the broker has closed it. */
export class KeptChannel {
  readonly #connection: AmqpConnection
  #opening: Promise<Open> | undefined

  constructor(connection: AmqpConnection) {
    this.#connection = connection
  }

  /** Runs calls, as `AmqpConnection.withChannel` does. Calls of other runs may come between them. */
  async run<T>(what: string, run: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
    this.#opening ??= this.#open()
    const opening = this.#opening
    const open = await opening.catch((error: unknown) => {
      if (this.#opening === opening) this.#opening = undefined
      throw error
    })
    try {
      return await this.#connection.call(what, run(open.channel))
    } catch (error) {
      throw explained(error, open.end)
    }
  }

  async #open(): Promise<Open> {
    let end: ChannelEnd | undefined
    let open: Open | undefined
    const channel = await this.#connection.openConfirmChannel((reason) => {
      end = { reason }
      if (open !== undefined) open.end = end
      this.#opening = undefined
    })
    open = { channel, end }
    return open
  }
}

/** What amqplib's channel makes its calls with (lib/channel.js, lib/channel_model.js). */
interface Internals {
  rpc(method: number, fields: object, answer: number): Promise<unknown>
  sendImmediately(method: number, fields: object): boolean
}

/**
 * The channel, for calls whose answers nobody needs: they leave at once and together, and the broker answers none of them (`no-wait`). What it
 * refuses ends the channel, so that a call that comes after them and is answered says whether all went well. For calls that have the flag.
 */
export function withoutAnswers(channel: ConfirmChannel): ConfirmChannel {
  const native = channel as unknown as Internals
  const eager = Object.create(channel) as Internals
  eager.rpc = async (method, fields) => {
    native.sendImmediately(method, { ...fields, nowait: true })
  }
  return eager as unknown as ConfirmChannel
}
