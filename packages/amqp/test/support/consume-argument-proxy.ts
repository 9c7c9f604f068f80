import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

const PROTOCOL_HEADER_BYTES = 8
const FRAME_HEADER_BYTES = 7
const METHOD_FRAME = 1
/** Class and method of `basic.consume` (AMQP 0-9-1, section 1.8). */
const BASIC_CONSUME = Buffer.from([0, 60, 0, 20])
const TIMEOUT_ARGUMENT = Buffer.from('x-consumer-timeoutl')

/** Forwards to a broker, and changes the `x-consumer-timeout` of every consumer that passes. */
export async function consumerTimeoutProxy(
  brokerUrl: string,
  timeoutMs: number,
): Promise<{ readonly url: string; close(): void }> {
  const target = new URL(brokerUrl)
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const broker = connect(Number(target.port), target.hostname)
    for (const [socket, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => other.destroy())
    }
    broker.pipe(client)
    let pending: Buffer = Buffer.alloc(0)
    let started = false
    client.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk])
      let end = started ? 0 : PROTOCOL_HEADER_BYTES
      started = true
      while (pending.length >= end + FRAME_HEADER_BYTES) {
        const next = end + FRAME_HEADER_BYTES + pending.readUInt32BE(end + 3) + 1
        if (pending.length < next) break
        if (pending[end] === METHOD_FRAME) rewrite(pending.subarray(end + FRAME_HEADER_BYTES, next), timeoutMs)
        end = next
      }
      broker.write(Buffer.from(pending.subarray(0, end)))
      pending = pending.subarray(end)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(brokerUrl)
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

function rewrite(method: Buffer, timeoutMs: number): void {
  if (!method.subarray(0, BASIC_CONSUME.length).equals(BASIC_CONSUME)) return
  const at = method.indexOf(TIMEOUT_ARGUMENT)
  if (at >= 0) method.writeBigInt64BE(BigInt(timeoutMs), at + TIMEOUT_ARGUMENT.length)
}
