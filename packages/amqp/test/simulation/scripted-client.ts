import { EventEmitter } from 'node:events'
import { Pipe, type SimulatedProcess } from '@streamswitch/testkit/simulation'
import { type ChannelModel, IllegalOperationError } from 'amqplib'
import { type AcceptingChannel, AmqplibModel, type ChannelConnection, type Fields, type Frame } from './library.js'
import type { ScriptedBroker } from './scripted-broker.js'
import { type Content, ScriptedChannel } from './scripted-channel.js'

/** What one frame counts for in `bytesRead`. */
const FRAME_BYTES = 100

/** What amqplib connects to a broker, on a script. Resolves when the broker has taken the connection, which takes some frames. */
export async function connectScripted(broker: ScriptedBroker, process: SimulatedProcess): Promise<ChannelModel> {
  await new Promise<void>((resolve) => setTimeout(resolve, 5 * broker.world.latency(process)))
  if (broker.down) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  return new AmqplibModel(new ScriptedConnection(broker, process))
}

/** One connection, both of its ends. amqplib's own channels stand on it. */
export class ScriptedConnection extends EventEmitter implements ChannelConnection {
  readonly process: SimulatedProcess
  readonly frameMax = 131_072
  /** What the adapter uses of the socket. */
  readonly stream: { bytesRead: number; destroy(error?: Error): void; destroySoon(): void }
  readonly #broker: ScriptedBroker
  readonly #toBroker: Pipe
  readonly #toClient: Pipe
  // The client's end.
  readonly #clientChannels = new Map<number, AcceptingChannel>()
  /** The channel that ended last: who uses it hears of it within the same turn. */
  #released: { readonly number: number; readonly turn: number } | undefined
  #channelNumber = 0
  #failed = false
  #closing = false
  #closed: ((error?: unknown) => void) | undefined
  // The broker's end.
  readonly #brokerChannels = new Map<number, ScriptedChannel>()
  #open = true
  #isCut = false

  constructor(broker: ScriptedBroker, process: SimulatedProcess) {
    super()
    const { world } = broker
    this.process = process
    this.#broker = broker
    this.#toBroker = new Pipe(world, world.broker, () => world.latency(process))
    this.#toClient = new Pipe(world, process, () => world.latency(process))
    this.stream = {
      bytesRead: 0,
      destroy: (error) => this.#fail(error ?? new Error('Socket closed'), 0),
      destroySoon: () => {},
    }
    broker.connections.add(this)
  }

  /** The client knows that it is gone. */
  get failed(): boolean {
    return this.#failed
  }

  /** Frames still travel. */
  get usable(): boolean {
    return !this.#failed && !this.#closing && this.#open && !this.#isCut
  }

  // ---- The client's end, as amqplib's channels call it

  freshChannel(channel: AcceptingChannel): number {
    this.#requireOpen()
    this.#channelNumber += 1
    this.#clientChannels.set(this.#channelNumber, channel)
    return this.#channelNumber
  }

  releaseChannel(number: number): void {
    this.#clientChannels.delete(number)
    this.#released = { number, turn: this.#broker.world.clock.events }
  }

  sendMethod(number: number, method: number, fields: Fields): boolean {
    this.#requireOpen()
    this.#toBroker.request(() => this.#brokerChannel(number)?.receive(method, fields))
    return true
  }

  sendMessage(
    number: number,
    method: number,
    fields: Fields,
    _properties: number,
    properties: Fields,
    body: Buffer,
  ): boolean {
    this.#requireOpen()
    const sentRightly = this.#broker.events.mayStore(this.process, fields['routingKey'] as string)
    const content: Content = { body, properties: { headers: properties['headers'] }, sentRightly }
    this.#toBroker.request(() => this.#brokerChannel(number)?.receive(method, fields, content))
    return true
  }

  /** Says goodbye. */
  close(done: (error?: unknown) => void): void {
    if (this.#failed || this.#closing) return done(new IllegalOperationError('Connection closed'))
    this.#closing = true
    this.#closed = done
    this.#toBroker.send(() => {
      this.#brokerCloses()
      this.#toClient.send(() => {
        this.#closed?.()
        this.#end(undefined)
      })
    })
  }

  #accept(number: number, frames: readonly Frame[]): void {
    // amqplib ignores all but the answer once it has said goodbye.
    if (this.#closing || this.#failed) return
    this.stream.bytesRead += FRAME_BYTES * frames.length
    for (const frame of frames) this.#clientChannels.get(number)?.accept(frame)
  }

  #requireOpen(): void {
    if (this.#failed || this.#closing) throw new IllegalOperationError('Connection closed')
  }

  /** The socket is gone. */
  #fail(error: Error, brokerAfterMs: number): void {
    if (this.#failed) return
    this.cut(brokerAfterMs, 0)
    if (this.#failed) return
    if (!this.#closing) this.emit('error', error)
    this.#end(error)
  }

  #end(error: Error | undefined): void {
    if (this.#failed) return
    this.#failed = true
    for (const channel of [...this.#clientChannels.values()]) channel.toClosed('scripted')
    this.emit('close', error)
  }

  // ---- The network

  /** Nothing travels any more; each end learns of it after so many milliseconds. */
  cut(brokerAfterMs: number, clientAfterMs: number): void {
    const { clock, broker } = this.#broker.world
    this.#isCut = true
    if (!this.#failed && this.#open) this.#broker.world.count('cut connection')
    this.#toBroker.cut()
    this.#toClient.cut()
    clock.schedule(brokerAfterMs, broker, () => this.#brokerCloses())
    if (this.#failed) return
    clock.schedule(clientAfterMs, this.process, () => {
      if (this.#failed) return
      const error = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
      if (!this.#closing) this.emit('error', error)
      this.#end(error)
    })
  }

  // ---- The broker's end

  /** A delivery, say: nobody has asked for it. */
  push(number: number, frames: readonly Frame[]): void {
    this.#toClient.send(() => this.#accept(number, frames))
  }

  answer(number: number, frames: readonly Frame[]): void {
    this.#toClient.answer(() => this.#accept(number, frames))
  }

  /** Channels that consume partitions. */
  get consuming(): readonly ScriptedChannel[] {
    return [...this.#brokerChannels.values()].filter(({ consumes }) => consumes)
  }

  /** The client hasn't heard yet that the broker has closed the channel by which it consumed the queue. */
  isUnaware(queue: string): boolean {
    if (this.#failed || this.#closing) return false
    return [...this.#brokerChannels.values()].some(
      ({ number, lostQueues }) => lostQueues.includes(queue) && this.#knowsChannel(number),
    )
  }

  #knowsChannel(number: number): boolean {
    const { clock } = this.#broker.world
    return (
      this.#clientChannels.has(number) || (this.#released?.number === number && this.#released.turn === clock.events)
    )
  }

  #brokerChannel(number: number): ScriptedChannel | undefined {
    if (!this.#open) return undefined
    const known = this.#brokerChannels.get(number)
    if (known !== undefined) return known
    const channel = new ScriptedChannel(number, this.#broker, this)
    this.#brokerChannels.set(number, channel)
    return channel
  }

  #brokerCloses(): void {
    if (!this.#open) return
    this.#open = false
    this.#broker.connections.delete(this)
    for (const channel of this.#brokerChannels.values()) channel.lost()
  }
}
