/**
 * amqplib decodes properties into values that lose their type: every width of number is a number, 64-bit integers lose
 * their last digits, strings that aren't UTF-8 get replacement characters, of repeated headers the last one stays.
 * Forwarded messages must be unchanged, so this keeps the bytes with the values, and publishes bytes instead of them.
 */
import type { ChannelModel, ConfirmChannel, ConsumeMessage, Message, Options } from 'amqplib'
import { ContentHeader, tagOf } from './content-header.js'

const FRAME_METHOD = 1
const FRAME_HEADER = 2
const FRAME_END = 0xce
const FRAME_HEAD_BYTES = 7
const CLASS_BASIC = 60
const METHOD_PUBLISH = 40
/** Class and method, in one number. */
const BASIC_DELIVER = (CLASS_BASIC << 16) | 60
/** Class, weight and size of the body, which stand before the properties. */
const HEADER_HEAD_BYTES = 12
const MANDATORY = 1
/** Lists and tables. */
const NESTED: ReadonlySet<string> = new Set(['A', 'F'])

/** The bytes of a message's properties, in `message.properties`. */
const PROPERTIES = Symbol('streamswitch property bytes')
/** The bytes of a routing key that is no UTF-8, in `message.fields`. */
const ROUTING_KEY = Symbol('streamswitch routing key bytes')

/** A name that means something to JavaScript. */
const PROTOTYPE = '__proto__'

interface Decoded {
  readonly id?: number
  readonly size?: number
  readonly fields?: Record<string | symbol, unknown>
}

/** What is used of amqplib's connection (lib/connection.js). */
interface Internals {
  rest: Buffer
  /** 0: no limit. */
  readonly maxFrameSize: number
  readonly stream: { read(): Buffer | null }
  recvSinceLastCheck: boolean
  sentSinceLastCheck: boolean
  readonly channels: readonly { readonly buffer: { write(bytes: Buffer): boolean } }[]
  recvFrame(): Decoded | false
  sendMessage(channel: number, method: number, fields: object, id: number, properties: object, content: Buffer): boolean
  sendContent(channel: number, content: Buffer): boolean
}

/** From now on, messages of this connection keep their bytes. Call it once, before anything is consumed. */
export function keepExactBytes(native: ChannelModel): void {
  const connection = native.connection as unknown as Internals
  const { recvFrame, sendMessage } = connection
  connection.recvFrame = function (this: Internals): Decoded | false {
    let size = wholeFrame(this.rest)
    while (size === undefined) {
      // It is refused by its size alone, before it is here: what a peer claims must not be gathered.
      if (isOversized(this.rest, this.maxFrameSize)) return recvFrame.call(this)
      const incoming = this.stream.read()
      if (incoming === null) return false
      this.recvSinceLastCheck = true
      this.rest = this.rest.length === 0 ? incoming : Buffer.concat([this.rest, incoming])
      size = wholeFrame(this.rest)
    }
    const payload = this.rest.subarray(FRAME_HEAD_BYTES, FRAME_HEAD_BYTES + size)
    const next = this.rest
    let frame: Decoded | false
    try {
      // With a whole frame there it reads no further than that.
      frame = recvFrame.call(this)
    } catch (error) {
      if (next.readUInt8(0) !== FRAME_HEADER) throw error
      this.rest = Buffer.concat([withoutNested(next.readUInt16BE(1), payload), next.subarray(payload.length + 8)])
      frame = recvFrame.call(this)
    }
    if (frame !== false) keep(frame, payload)
    return frame
  }
  connection.sendMessage = function (this: Internals, channel, method, fields, id, properties, content): boolean {
    const bytes = (properties as { readonly headers?: { readonly [PROPERTIES]?: Buffer } }).headers?.[PROPERTIES]
    if (bytes === undefined) return sendMessage.call(this, channel, method, fields, id, properties, content)
    const { exchange, routingKey } = fields as { readonly exchange: string; readonly routingKey: string }
    this.sentSinceLastCheck = true
    const written = this.channels[channel]?.buffer.write(
      Buffer.concat([publishFrame(channel, exchange, routingKey), headerFrame(channel, content.length, bytes)]),
    )
    return content.length === 0 ? written === true : this.sendContent(channel, content)
  }
}

/** Publishes a message, mandatory, with the bytes of its properties. Otherwise as `channel.publish`. */
export function publishExact(
  channel: ConfirmChannel,
  exchange: string,
  routingKey: string,
  content: Buffer,
  properties: Buffer,
  confirmed: (error: unknown) => void,
): boolean {
  return channel.publish(exchange, routingKey, content, exactProperties(properties), confirmed)
}

/** Options of a publish, which is mandatory then, that stand for the bytes of all properties. */
export function exactProperties(bytes: Buffer): Options.Publish {
  // amqplib hands headers through as they are, so that they bring the bytes to where they are written.
  return { headers: { [PROPERTIES]: bytes } }
}

/** The bytes of a message's properties as they came; `undefined` where they were not kept. */
export function propertyBytes({ properties }: Message): Buffer | undefined {
  return (properties as { readonly [PROPERTIES]?: Buffer })[PROPERTIES]
}

/** The message with other bytes for its properties. */
export function withPropertyBytes(message: ConsumeMessage, bytes: Buffer): ConsumeMessage {
  return { ...message, properties: { ...message.properties, [PROPERTIES]: bytes } as ConsumeMessage['properties'] }
}

/** The bytes of a message's routing key. */
export function routingKeyBytes({ fields }: Message): Buffer {
  return (fields as { readonly [ROUTING_KEY]?: Buffer })[ROUTING_KEY] ?? Buffer.from(fields.routingKey)
}

/** The size of the first frame's payload; `undefined` where the frame isn't there as a whole. */
function wholeFrame(bytes: Buffer): number | undefined {
  if (bytes.length < FRAME_HEAD_BYTES) return undefined
  const size = bytes.readUInt32BE(3)
  return bytes.length > FRAME_HEAD_BYTES + size ? size : undefined
}

/** Whether the first frame is larger than what was agreed upon, as far as its head is there. */
function isOversized(bytes: Buffer, maxFrameSize: number): boolean {
  return maxFrameSize > 0 && bytes.length >= FRAME_HEAD_BYTES && bytes.readUInt32BE(3) > maxFrameSize
}

/**
 * Lists nested too deep for amqplib's decoder would end the connection, again and again, for as long as their message
 * exists.
 */
function withoutNested(channel: number, payload: Buffer): Buffer {
  const header = ContentHeader.read(payload.subarray(HEADER_HEAD_BYTES))
  header.headers = header.headers?.filter((entry) => !NESTED.has(tagOf(entry)))
  return headerFrame(channel, Number(payload.readBigUInt64BE(4)), header.encode())
}

function keep({ id, size, fields }: Decoded, payload: Buffer): void {
  if (fields === undefined) return
  if (size !== undefined) {
    fields[PROPERTIES] = payload.subarray(HEADER_HEAD_BYTES)
    if (payload.includes(PROTOTYPE)) restorePrototypes(fields.headers)
  } else if (id === BASIC_DELIVER && String(fields.routingKey).includes('\ufffd'))
    fields[ROUTING_KEY] = deliveredRoutingKey(payload)
}

/**
 * amqplib assigns what a table holds by its names, so that `__proto__` replaces the table's prototype: by bytes, for one, and the table passes for a buffer
 * until it is used as one. Here it becomes a property like any other.
 */
function restorePrototypes(headers: unknown): void {
  const rest = [headers]
  while (rest.length > 0) {
    const value = rest.pop()
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) continue
    const prototype: unknown = Object.getPrototypeOf(value)
    if (!Array.isArray(value) && prototype !== Object.prototype) {
      Object.setPrototypeOf(value, Object.prototype)
      Object.defineProperty(value, PROTOTYPE, {
        value: prototype,
        enumerable: true,
        configurable: true,
        writable: true,
      })
    }
    for (const one of Object.values(value)) rest.push(one)
  }
}

/** Behind class and method stand the consumer's tag, the delivery's, a flag, the exchange and the routing key. */
function deliveredRoutingKey(payload: Buffer): Buffer {
  let at = 4
  at += 1 + payload.readUInt8(at) + 8 + 1
  at += 1 + payload.readUInt8(at)
  return payload.subarray(at + 1, at + 1 + payload.readUInt8(at))
}

function publishFrame(channel: number, exchange: string, routingKey: string): Buffer {
  const [to, key] = [Buffer.from(exchange), Buffer.from(routingKey)]
  const payload = Buffer.alloc(4 + 2 + 1 + to.length + 1 + key.length + 1)
  payload.writeUInt16BE(CLASS_BASIC, 0)
  payload.writeUInt16BE(METHOD_PUBLISH, 2)
  let at = payload.writeUInt8(to.length, 6)
  at += to.copy(payload, at)
  at = payload.writeUInt8(key.length, at)
  at += key.copy(payload, at)
  payload.writeUInt8(MANDATORY, at)
  return frame(FRAME_METHOD, channel, payload)
}

function headerFrame(channel: number, size: number, properties: Buffer): Buffer {
  const head = Buffer.alloc(HEADER_HEAD_BYTES)
  head.writeUInt16BE(CLASS_BASIC, 0)
  head.writeBigUInt64BE(BigInt(size), 4)
  return frame(FRAME_HEADER, channel, Buffer.concat([head, properties]))
}

function frame(type: number, channel: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES)
  head.writeUInt8(type, 0)
  head.writeUInt16BE(channel, 1)
  head.writeUInt32BE(payload.length, 3)
  return Buffer.concat([head, payload, Buffer.of(FRAME_END)])
}
