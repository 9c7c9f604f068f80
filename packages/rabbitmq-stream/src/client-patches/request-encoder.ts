import { AbstractRequest, BufferDataWriter } from 'rabbitmq-stream-js-client/dist/requests/abstract_request.js'
import type { Request } from 'rabbitmq-stream-js-client/dist/requests/request.js'

const INITIAL_BYTES = 256
const UNLIMITED = 0

/** Defect: strings that aren't ASCII get the length of their UTF-16 form, which hangs or ends the connection. */
class Utf8Writer extends BufferDataWriter {
  override writeString(text: string): void {
    this.writeUInt16(Buffer.byteLength(text))
    this.writeData(text)
  }
}

interface Content {
  readonly key: number
  readonly version: number
  writeContent(writer: BufferDataWriter): void
}

/** The frame of a request. Defect: the library takes and zeroes 64 KiB for each, also for a credit of 9 bytes. */
export function encodeRequest(request: Request, correlationId?: number): Buffer {
  const content = request as unknown as Content
  const writer = new Utf8Writer(Buffer.allocUnsafe(INITIAL_BYTES), 4, { maxSize: UNLIMITED })
  writer.writeUInt16(content.key)
  writer.writeUInt16(content.version)
  if (correlationId !== undefined) writer.writeUInt32(correlationId)
  content.writeContent(writer)
  writer.writePrefixSize()
  return writer.toBuffer()
}

/** SASL PLAIN. Defect: the library's counts UTF-16 units where the broker counts bytes. */
export class PlainAuthenticateRequest extends AbstractRequest {
  readonly key = 0x0013
  readonly responseKey = 0x8013
  readonly #credentials: Buffer

  constructor(username: string, password: string) {
    super()
    this.#credentials = Buffer.from(`\0${username}\0${password}`)
  }

  protected writeContent(writer: BufferDataWriter): void {
    writer.writeString('PLAIN')
    writer.writeUInt32(this.#credentials.length)
    writer.writeData(this.#credentials)
  }
}
