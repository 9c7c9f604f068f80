import { type AnyCodec, type Codec, type CodecName, findCodec, serializationError } from '../codec.js'
import { isStreamError } from '../errors.js'
import { type Schema, validate } from '../schema.js'
import type { Delivery } from './delivery.js'

/** Decodes received payloads, once per message. */
export class ValueDecoder {
  readonly #codec: Codec
  readonly #schema: Schema | undefined

  constructor(codec: CodecName | AnyCodec, schema: Schema | undefined) {
    this.#codec = findCodec(codec)
    this.#schema = schema
  }

  /**
   * Sets the delivery's value: synchronously, or by the promise when the schema is asynchronous. Throws or rejects with
   * SERIALIZATION.
   */
  decode(delivery: Delivery): Promise<void> | undefined {
    const { bytes, topic } = delivery
    if (bytes === undefined) {
      delivery.value = undefined
      return undefined
    }
    const value = this.#decode(bytes, topic)
    const checked = this.#schema === undefined ? value : validate(this.#schema, value, topic, 'decode')
    if (checked instanceof Promise) {
      return checked.then((settled) => {
        delivery.value = settled
      })
    }
    delivery.value = checked
    return undefined
  }

  #decode(bytes: Buffer, topic: string): unknown {
    try {
      return this.#codec.decode(bytes)
    } catch (error) {
      throw isStreamError(error) ? error : serializationError('decode', this.#codec.name, topic, error)
    }
  }
}
