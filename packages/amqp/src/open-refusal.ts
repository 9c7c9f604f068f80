import { connect as connectTcp, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'

/** Maximum time for the broker's refusal, in milliseconds. */
const ANSWER_MS = 5_000
const PROTOCOL_HEADER = Buffer.from('AMQP\0\0\x09\x01', 'latin1')
const METHOD_FRAME = 1
const FRAME_END = 0xce
const FRAME_HEADER_BYTES = 7
/** Far more than a broker's lists of properties and mechanisms take. */
const MAX_FRAME_BYTES = 128 * 1024
/** Class and method of `connection` (AMQP 0-9-1, section 1.4.2). */
const START = 0x000a000a
const START_OK = 0x000a000b
const TUNE = 0x000a001e
const TUNE_OK = 0x000a001f
const OPEN = 0x000a0028
const CLOSE = 0x000a0032

export interface OpenRequest {
  readonly host: string
  readonly port: number
  readonly username: string
  readonly password: string
  readonly vhost: string
  /** `undefined`: without TLS. */
  readonly tls: ConnectionOptions | undefined
}

/** What the broker says when it closes a connection that is being opened. */
export class OpenRefused extends Error {
  readonly code: number

  constructor(code: number, text: string) {
    super(text)
    this.name = 'OpenRefused'
    this.code = code
  }
}

/**
 * Why the broker refuses to open a virtual host: amqplib drops what it says. Goes through the handshake once more, up to the refusal.
 * Resolves with `undefined` where there is none this time. Never rejects.
 */
export async function askWhyRefused(request: OpenRequest): Promise<OpenRefused | undefined> {
  const { host, port, tls } = request
  const socket = tls === undefined ? connectTcp({ host, port }) : connectTls({ ...tls, host, port })
  socket.setTimeout(ANSWER_MS, () => socket.destroy())
  try {
    return await handshake(socket, request)
  } catch {
    return undefined
  } finally {
    socket.destroy()
  }
}

async function handshake(socket: Socket, request: OpenRequest): Promise<OpenRefused | undefined> {
  socket.write(PROTOCOL_HEADER)
  let pending: Buffer = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    pending = Buffer.concat([pending, chunk])
    while (pending.length >= FRAME_HEADER_BYTES) {
      const end = FRAME_HEADER_BYTES + pending.readUInt32BE(3) + 1
      // What claims more must not be gathered.
      if (end > MAX_FRAME_BYTES) return undefined
      if (pending.length < end) break
      const method = pending.subarray(FRAME_HEADER_BYTES, end - 1)
      pending = pending.subarray(end)
      const answer = answerTo(method, request)
      if (answer instanceof OpenRefused) return answer
      if (answer === undefined) return undefined
      socket.write(answer)
    }
  }
  return undefined
}

/** The client's next frames; `undefined` when the broker has let the client in. */
function answerTo(method: Buffer, { username, password, vhost }: OpenRequest): Buffer | OpenRefused | undefined {
  const id = method.readUInt32BE(0)
  if (id === START) {
    const emptyTable = Buffer.alloc(4)
    const response = longString(`\0${username}\0${password}`)
    return frame(START_OK, [emptyTable, shortString('PLAIN'), response, shortString('en_US')])
  }
  if (id === TUNE) {
    // Channels, frame size, heartbeat: as the broker wishes.
    const tuned = frame(TUNE_OK, [method.subarray(4)])
    return Buffer.concat([tuned, frame(OPEN, [shortString(vhost), shortString(''), Buffer.from([0])])])
  }
  if (id !== CLOSE) return undefined
  const length = method.readUInt8(6)
  return new OpenRefused(method.readUInt16BE(4), method.toString('utf8', 7, 7 + length))
}

function frame(method: number, fields: readonly Buffer[]): Buffer {
  const payload = Buffer.concat([Buffer.alloc(4), ...fields])
  payload.writeUInt32BE(method, 0)
  const header = Buffer.alloc(FRAME_HEADER_BYTES)
  header.writeUInt8(METHOD_FRAME, 0)
  header.writeUInt32BE(payload.length, 3)
  return Buffer.concat([header, payload, Buffer.from([FRAME_END])])
}

function shortString(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}

function longString(text: string): Buffer {
  const bytes = Buffer.from(text)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length, 0)
  return Buffer.concat([length, bytes])
}
