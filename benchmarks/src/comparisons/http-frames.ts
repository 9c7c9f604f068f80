/** What a message of a batch made by hand carries: what Streamswitch's carry as well. */
export interface FramedMessage {
  readonly id: string
  readonly timestamp: number
  readonly payload: Buffer
}

/** Bytes before a message's id and payload: their lengths, and the timestamp. */
const HEAD_BYTES = 14

/** Messages as one body: length of the id, length of the payload, timestamp, id, payload. */
export function framed(messages: readonly FramedMessage[]): Buffer {
  const size = messages.reduce((sum, { id, payload }) => sum + HEAD_BYTES + id.length + payload.length, 0)
  const body = Buffer.allocUnsafe(size)
  let at = 0
  for (const { id, timestamp, payload } of messages) {
    at = body.writeUInt16BE(id.length, at)
    at = body.writeUInt32BE(payload.length, at)
    at = body.writeDoubleBE(timestamp, at)
    at += body.write(id, at, 'latin1')
    at += payload.copy(body, at)
  }
  return body
}

/** Takes such a body apart. */
export function* unframed(body: Buffer): Generator<FramedMessage> {
  for (let at = 0; at < body.length; ) {
    const idAt = at + HEAD_BYTES
    const payloadAt = idAt + body.readUInt16BE(at)
    const end = payloadAt + body.readUInt32BE(at + 2)
    yield {
      id: body.toString('latin1', idAt, payloadAt),
      timestamp: body.readDoubleBE(at + 6),
      payload: body.subarray(payloadAt, end),
    }
    at = end
  }
}
