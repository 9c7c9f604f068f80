import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib'
import { brokerUrl } from './broker.js'

/** A message as a foreign client writes it, all of it in bytes. */
export interface RawMessage {
  readonly routingKey: Buffer
  readonly body: Buffer
  /** By bit of the flags, each as on the wire; not the headers. */
  readonly properties: ReadonlyMap<number, Buffer>
  /** Name, and value with its tag. */
  readonly headers: readonly (readonly [name: Buffer, value: Buffer])[]
}

/** The properties of AMQP 0-9-1, by the bit of the flags that says that they are there. */
export const Bit = {
  contentType: 15,
  contentEncoding: 14,
  headers: 13,
  deliveryMode: 12,
  priority: 11,
  correlationId: 10,
  replyTo: 9,
  expiration: 8,
  messageId: 7,
  timestamp: 6,
  type: 5,
  userId: 4,
  appId: 3,
  clusterId: 2,
} as const

interface Internals {
  readonly ch: number
  readonly connection: { readonly channels: readonly { readonly buffer: { write(bytes: Buffer): void } }[] }
  pushConfirmCallback(confirmed: (error: unknown) => void): void
}

/** Publishes to an exchange what amqplib's values can't express; resolves once the broker has confirmed all. */
export async function publishRaw(exchange: string, messages: readonly RawMessage[]): Promise<void> {
  const connection = (await connect(brokerUrl)) as ChannelModel
  try {
    const channel = await connection.createConfirmChannel()
    await Promise.all(messages.map((message) => publish(channel, exchange, message)))
  } finally {
    await connection.close()
  }
}

function publish(channel: ConfirmChannel, exchange: string, message: RawMessage): Promise<void> {
  const internals = channel as unknown as Internals
  return new Promise((resolve, reject) => {
    internals.connection.channels[internals.ch]?.buffer.write(frames(internals.ch, exchange, message))
    internals.pushConfirmCallback((error) => (error ? reject(error as Error) : resolve()))
  })
}

function frames(channel: number, exchange: string, { routingKey, body, properties, headers }: RawMessage): Buffer {
  const method = Buffer.concat([hex('003c00280000'), short(Buffer.from(exchange)), short(routingKey), hex('00')])
  const table = Buffer.concat(headers.flatMap(([name, value]) => [short(name), value]))
  const values = new Map([...properties, [Bit.headers, Buffer.concat([uint32(table.length), table])] as const])
  const flags = [...values.keys()].reduce((sum, bit) => sum | (1 << bit), 0)
  const size = Buffer.alloc(8)
  size.writeBigUInt64BE(BigInt(body.length))
  const ordered = [...values].toSorted(([a], [b]) => b - a).map(([, value]) => value)
  const header = Buffer.concat([hex('003c0000'), size, Buffer.of(flags >> 8, flags & 0xff), ...ordered])
  const all = [frame(1, channel, method), frame(2, channel, header)]
  return Buffer.concat(body.length === 0 ? all : [...all, frame(3, channel, body)])
}

function frame(type: number, channel: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type, channel >> 8, channel & 0xff), uint32(payload.length), payload, hex('ce')])
}

/** A short string: its length in one byte, then its bytes. */
export function short(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.of(bytes.length), bytes])
}

/** A tag and a value with its length in four bytes: long strings, bytes, lists, tables. */
export function long(tag: string, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(tag), uint32(bytes.length), bytes])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function hex(text: string): Buffer {
  return Buffer.from(text, 'hex')
}
