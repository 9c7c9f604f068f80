import { AmqpReader, type AmqpValue, readDescriptor } from '@streamswitch/core/driver'

/** A message as the broker keeps it: what `message.native` shows. */
export class NativeMessage {
  readonly stream: string
  readonly offset: number
  /** When the broker stored the chunk, in milliseconds since the epoch. */
  readonly chunkTimestamp: number
  /** The encoded AMQP 1.0 message. */
  readonly bytes: Buffer

  constructor(stream: string, offset: number, chunkTimestamp: number, bytes: Buffer) {
    this.stream = stream
    this.offset = offset
    this.chunkTimestamp = chunkTimestamp
    this.bytes = bytes
  }

  /**
   * Returns all sections, by their AMQP descriptor (0x70 header, 0x72 annotations, 0x73 properties, 0x74 application
   * properties, …). Of several of a kind the last one is used.
   */
  sections(): ReadonlyMap<number, AmqpValue> {
    const sections = new Map<number, AmqpValue>()
    const reader = new AmqpReader(this.bytes)
    while (reader.at < this.bytes.length) sections.set(readDescriptor(reader), reader.value())
    return sections
  }
}
