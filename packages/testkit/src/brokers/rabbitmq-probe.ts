import { exchange } from './probe.js'

/** Offers AMQP 0-9-1 and expects connection.start: a method frame (type 1) on channel 0. */
export function checkAmqp(port: number, timeoutMs: number): Promise<void> {
  return exchange({
    port,
    what: 'AMQP greeting',
    request: Buffer.from('AMQP\0\0\x09\x01', 'latin1'),
    timeoutMs,
    judge: (received) => {
      if (received.length < 3) return undefined
      return received[0] === 1 && received.readUInt16BE(1) === 0
        ? true
        : `answered ${received.subarray(0, 8).toString('hex')}`
    },
  })
}

const PEER_PROPERTIES = 17
const RESPONSE_FLAG = 0x8000

/** Sends PeerProperties of the stream protocol with no properties and expects its response with code 1 (ok). */
export function checkStream(port: number, timeoutMs: number): Promise<void> {
  const request = Buffer.alloc(16)
  request.writeUInt32BE(12, 0)
  request.writeUInt16BE(PEER_PROPERTIES, 4)
  request.writeUInt16BE(1, 6)
  request.writeUInt32BE(1, 8)
  return exchange({
    port,
    what: 'stream PeerProperties',
    request,
    timeoutMs,
    judge: (received) => {
      if (received.length < 14) return undefined
      const isResponse =
        received.readUInt16BE(4) === (RESPONSE_FLAG | PEER_PROPERTIES) && received.readUInt16BE(12) === 1
      return isResponse ? true : `answered ${received.subarray(0, 14).toString('hex')}`
    },
  })
}

/** An answer of the management API. */
export interface ManagementAnswer {
  readonly status: number
  /** The parsed body, or undefined when there is none. */
  readonly body: unknown
}

/** A request to the management API as guest. */
export async function callManagement(
  port: number,
  method: string,
  path: string,
  body: unknown,
  timeoutMs: number,
): Promise<ManagementAnswer> {
  const response = await fetch(`http://127.0.0.1:${port}/api/${path}`, {
    method,
    headers: {
      authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}`,
      'content-type': 'application/json',
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(timeoutMs),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
}
