import type { Socket } from 'node:net'
import {
  answerDeadline,
  atMost,
  type HostAddress,
  messageOf,
  parseHostText,
  readSecret,
  readTls,
  signOfLife,
  withSignal,
} from '@streamswitch/core/driver'
import { type Channel, type ChannelModel, type ConfirmChannel, connect } from 'amqplib'
import { type ChannelEnd, classifyError, explained, isUnexplainedRefusal, unanswered } from './errors.js'
import { keepExactBytes } from './exact-frames.js'
import { askWhyRefused } from './open-refusal.js'
import type { AmqpSettings } from './options.js'

const PORT = 5672
const TLS_PORT = 5671
/** Maximum time for one host to accept the connection, in milliseconds; then the next one is tried. */
const HOST_TIMEOUT_MS = 5_000
/** Maximum time for a clean close, in milliseconds. */
const CLOSE_TIMEOUT_MS = 2_000
/** A heartbeat's frame, which says no more than that there is somebody. */
const HEARTBEAT_BYTES = 8

/** Who wants to hear what becomes of a connection. All calls are cheap and never throw. */
export interface ConnectionListener {
  /** It is gone for good. Called once. */
  lost?(error: unknown): void
  /** The broker takes no publishes for now, or takes them again. */
  blocked?(blocked: boolean): void
}

/**
 * One connection to the broker, from its handshake to its end. Every call has a deadline, after which the connection
 * counts as dead: a frozen broker, and a queue that never answers, would otherwise block the caller forever.
 */
export class AmqpConnection {
  readonly native: ChannelModel
  readonly #callTimeoutMs: number
  readonly #listeners = new Set<ConnectionListener>()
  #gone: { readonly error: unknown } | undefined
  #blocked = false
  #cause: unknown
  #closing: Promise<void> | undefined

  constructor(native: ChannelModel, callTimeoutMs: number) {
    this.native = native
    this.#callTimeoutMs = callTimeoutMs
    keepExactBytes(native)
    if (this.#socket !== undefined) writeTogether(this.#socket)
    // Without these listeners the first lost connection would end the process.
    native.on('error', (error) => {
      this.#cause ??= error
    })
    native.on('handler-error', (error) => this.destroy(error))
    native.on('close', (error) => {
      this.#closeSocket(this.#cause ?? error)
      this.#end(this.#cause ?? error ?? new Error('Connection closed'))
    })
    native.on('blocked', () => this.#block(true))
    native.on('unblocked', () => this.#block(false))
  }

  /** The broker takes no publishes for now (memory or disk alarm). */
  get blocked(): boolean {
    return this.#blocked
  }

  /** Maximum frame negotiated with the broker, in bytes. */
  get maxFrameBytes(): number {
    return (this.native.connection as unknown as { readonly frameMax: number }).frameMax
  }

  get gone(): boolean {
    return this.#gone !== undefined
  }

  /** Why it is gone. */
  get error(): unknown {
    return this.#gone?.error
  }

  listen(listener: ConnectionListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Waits for the broker's answer, for `callTimeoutMs`, and up to six times as long while deliveries arrive, behind
   * which it may be queued. The time is paused while the broker blocks publishers.
   */
  async call<T>(what: string, answer: Promise<T>): Promise<T> {
    let answered: (() => void) | undefined
    let unlisten: (() => void) | undefined
    const failure = new Promise<never>((_resolve, reject) => {
      const expire = (): void => {
        if (this.#blocked) return void arm()
        const error = unanswered(what, this.#callTimeoutMs)
        this.destroy(error)
        reject(error)
      }
      const arm = (): void => {
        answered = answerDeadline(() => this.#socket?.bytesRead ?? 0, this.#callTimeoutMs, expire)
      }
      arm()
      unlisten = this.listen({ lost: (error) => reject(error) })
    })
    try {
      return await Promise.race([answer, failure])
    } finally {
      answered?.()
      unlisten?.()
    }
  }

  /** Settles as the answer to a probe does, or resolves before, when anything but a heartbeat arrives. */
  async signOfLife(answer: Promise<unknown>): Promise<void> {
    const socket = this.#socket
    await (socket === undefined ? answer : signOfLife(socket, answer, HEARTBEAT_BYTES))
  }

  /**
   * Opens a separate channel. `closed` is called once when it ends, whichever side ended it, with whether the whole
   * connection did.
   */
  async openChannel(closed: (error: unknown, connectionGone: boolean) => void): Promise<Channel> {
    return watch(await this.call('open a channel', this.native.createChannel()), (error) =>
      closed(error, this.#endsToo()),
    )
  }

  /** As {@link openChannel}, with publisher confirms. */
  async openConfirmChannel(closed: (error: unknown, connectionGone: boolean) => void): Promise<ConfirmChannel> {
    return watch(await this.call('open a channel', this.native.createConfirmChannel()), (error) =>
      closed(error, this.#endsToo()),
    )
  }

  /** Runs calls on a separate channel: the broker closes a channel at the first thing it refuses. */
  async withChannel<T>(what: string, run: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
    let end: ChannelEnd | undefined
    const channel = await this.openConfirmChannel((reason) => {
      end = { reason }
    })
    try {
      return await this.call(what, run(channel))
    } catch (error) {
      throw explained(error, end)
    } finally {
      if (end === undefined && !this.gone) await this.call('close a channel', channel.close()).catch(() => {})
    }
  }

  /**
   * As {@link withChannel}, for what must not cost the connection: a classic queue whose node is down answers after a minute, with
   * the connection in best health. Rejects with UNAVAILABLE when the time is over; the channel closes once the broker has answered.
   */
  async withChannelAside<T>(what: string, timeoutMs: number, run: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
    let end: ChannelEnd | undefined
    const channel = await this.openConfirmChannel((reason) => {
      end = { reason }
    })
    const work = async (): Promise<T> => {
      try {
        return await run(channel)
      } catch (error) {
        throw explained(error, end)
      } finally {
        if (end === undefined && !this.gone) await channel.close().catch(() => {})
      }
    }
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(unanswered(what, timeoutMs)), timeoutMs)
    })
    try {
      return await Promise.race([work(), late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Ends the connection politely, for two seconds at most. Never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Ends the connection at once. */
  destroy(error: unknown): void {
    if (this.gone) return
    this.#cause ??= error
    this.#socket?.destroy(error instanceof Error ? error : new Error(messageOf(error)))
    this.#end(this.#cause)
  }

  get #socket(): Socket | undefined {
    return (this.native.connection as unknown as { readonly stream?: Socket }).stream
  }

  /** amqplib only ends its side of the socket: a silent peer would keep it, and the process, open forever. */
  #closeSocket(error: unknown): void {
    if (error === undefined) this.#socket?.destroySoon()
    else this.#socket?.destroy()
  }

  async #close(): Promise<void> {
    if (this.gone) return
    const polite = this.native.close().then(
      () => true,
      () => true,
    )
    if ((await atMost(polite, CLOSE_TIMEOUT_MS)) === undefined) this.destroy(new Error('Connection closed'))
  }

  /** A channel that ends together with its connection ends a moment before it. */
  #endsToo(): boolean {
    return this.gone || this.#cause !== undefined || this.#closing !== undefined
  }

  #end(error: unknown): void {
    if (this.#gone !== undefined) return
    this.#gone = { error }
    for (const listener of [...this.#listeners]) listener.lost?.(error)
    this.#listeners.clear()
  }

  #block(blocked: boolean): void {
    this.#blocked = blocked
    for (const listener of [...this.#listeners]) listener.blocked?.(blocked)
  }
}

/** Connects to the first host that answers. Rejects with the last host's error, or at once with one that another host can't help. */
export async function openConnection(
  settings: AmqpSettings,
  name: string,
  signal?: AbortSignal,
): Promise<AmqpConnection> {
  let failure: unknown
  for (const text of settings.hosts) {
    signal?.throwIfAborted()
    try {
      return await openHost(settings, parseHostText(text, settings.tls ? TLS_PORT : PORT), name, signal)
    } catch (error) {
      failure = error
      if (!classifyError(error, 'open').retryable) throw error
    }
  }
  throw failure
}

async function openHost(
  settings: AmqpSettings,
  address: HostAddress,
  name: string,
  signal: AbortSignal | undefined,
): Promise<AmqpConnection> {
  const password = await readSecret(settings.password, 'amqp')
  const { host, port } = address
  const tls = settings.tls ? await readTls(settings, 'amqp', host) : {}
  signal?.throwIfAborted()
  const { username, vhost } = settings
  const request = { host, port, username, password: password ?? (username === 'guest' ? 'guest' : ''), vhost }
  const opening = connect(
    {
      protocol: settings.tls ? 'amqps' : 'amqp',
      hostname: host,
      port,
      username,
      password: request.password,
      // amqplib decodes it once more, also where it doesn't stand in a URL.
      vhost: encodeURIComponent(vhost),
      heartbeat: settings.heartbeatSeconds,
    },
    { ...tls, noDelay: true, keepAlive: true, timeout: HOST_TIMEOUT_MS, clientProperties: { connection_name: name } },
  )
  const connection = opening.then((native) => new AmqpConnection(native as ChannelModel, settings.callTimeoutMs))
  try {
    return await withSignal(connection, signal)
  } catch (error) {
    // Given up while it was connecting: it must not stay open when it gets through after all.
    connection.then((late) => late.close()).catch(() => {})
    if (!isUnexplainedRefusal(error)) throw error
    throw (await askWhyRefused({ ...request, tls: settings.tls ? tls : undefined })) ?? error
  }
}

/**
 * RabbitMQ 4.3 cancels a consumer whose acks are late more than once. amqplib has forgotten it after the first time, takes the next for a
 * violation of the protocol, and gives up the whole connection.
 */
function ignoreRepeatedCancels(channel: Channel): void {
  const { consumers } = channel as unknown as { readonly consumers: ReadonlyMap<string, unknown> }
  const handle = channel.listeners('cancel')
  channel.removeAllListeners('cancel')
  channel.on('cancel', (fields: { readonly consumerTag: string }) => {
    if (consumers.has(fields.consumerTag)) for (const listener of handle) listener.call(channel, fields)
  })
}

/** Writes the frames of all channels of one turn of the event loop with one system call: amqplib writes each channel's separately. */
function writeTogether(socket: Socket): void {
  const write = socket.write as (...chunk: unknown[]) => boolean
  let corked = false
  socket.write = (...chunk: unknown[]): boolean => {
    if (!corked) {
      corked = true
      socket.cork()
      process.nextTick(() => {
        corked = false
        socket.uncork()
      })
    }
    return write.apply(socket, chunk)
  }
}

function watch<C extends Channel>(channel: C, closed: (error: unknown) => void): C {
  ignoreRepeatedCancels(channel)
  let cause: unknown
  channel.on('error', (error) => {
    cause ??= error
  })
  channel.on('handler-error', (error) => {
    cause ??= error
  })
  channel.once('close', () => queueMicrotask(() => closed(cause ?? new Error('channel closed'))))
  return channel
}
