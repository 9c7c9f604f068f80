import type { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import type { ChannelModel } from 'amqplib'

// The parts of amqplib that stand on its connection, which a script replaces: the package exports none of them.
const load = createRequire(createRequire(import.meta.url).resolve('amqplib'))

/** What amqplib's channels call of their connection. */
export interface ChannelConnection extends EventEmitter {
  freshChannel(channel: AcceptingChannel): number
  releaseChannel(channel: number): void
  sendMethod(channel: number, method: number, fields: Fields): boolean
  sendMessage(
    channel: number,
    method: number,
    fields: Fields,
    properties: number,
    values: Fields,
    content: Buffer,
  ): boolean
  close(done: (error?: unknown) => void): void
}

export type Fields = Readonly<Record<string, unknown>>

/** A frame as amqplib has decoded it. */
export interface Frame {
  readonly id?: number
  readonly fields?: Fields
  readonly size?: number
  readonly content?: Buffer
}

export interface AcceptingChannel {
  accept(frame: Frame): void
  toClosed(stack: string): void
}

export const { ChannelModel: AmqplibModel } = load('./lib/channel_model.js') as {
  readonly ChannelModel: new (connection: ChannelConnection) => ChannelModel
}

/** Numbers of methods, by name. */
export const METHODS = load('./lib/defs.js') as Readonly<Record<MethodName, number>>

type MethodName =
  | 'BasicAck'
  | 'BasicCancel'
  | 'BasicConsume'
  | 'BasicConsumeOk'
  | 'BasicDeliver'
  | 'BasicGet'
  | 'BasicGetEmpty'
  | 'BasicGetOk'
  | 'BasicProperties'
  | 'BasicPublish'
  | 'BasicQos'
  | 'BasicQosOk'
  | 'BasicReturn'
  | 'ChannelClose'
  | 'ChannelCloseOk'
  | 'ChannelOpen'
  | 'ChannelOpenOk'
  | 'ConfirmSelect'
  | 'ConfirmSelectOk'
  | 'ExchangeDeclare'
  | 'ExchangeDeclareOk'
  | 'QueueBind'
  | 'QueueBindOk'
  | 'QueueDeclare'
  | 'QueueDeclareOk'
