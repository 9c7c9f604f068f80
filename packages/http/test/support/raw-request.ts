import { connect } from 'node:net'

export interface RawAnswer {
  readonly status: number
  /** By lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface RawRequest {
  readonly method?: string
  readonly target?: string
  readonly version?: string
  /** `Name: value` each, as it is written; without one that begins with `host:`, the server's own address is. */
  readonly headers?: readonly string[]
  readonly body?: string
}

/** Writes a request byte for byte on a fresh connection. Resolves with the answer when the server has closed the connection. */
export function rawRequest(base: string, request: RawRequest = {}): Promise<RawAnswer> {
  const { host, hostname, port } = new URL(base)
  const { method = 'POST', target = '/orders/billing', version = '1.1', headers = [], body = '1' } = request
  const isNamed = headers.some((line) => /^host *:/i.test(line))
  const lines = [
    `${method} ${target} HTTP/${version}`,
    ...(isNamed || version === '1.0' ? [] : [`Host: ${host}`]),
    ...headers,
    'Connection: close',
    ...(body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
  ]
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(port), host: hostname.replace(/^\[|\]$/g, '') })
    const chunks: Buffer[] = []
    socket.on('connect', () => socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`))
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', reject)
    socket.on('close', () => resolve(answerOf(Buffer.concat(chunks).toString('latin1'))))
  })
}

function answerOf(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n')
  const [status = '', ...lines] = text.slice(0, end).split('\r\n')
  const headers = lines.map((line) => [
    line.slice(0, line.indexOf(':')).toLowerCase(),
    line.slice(line.indexOf(':') + 2),
  ])
  return { status: Number(status.slice(9, 12)), headers: Object.fromEntries(headers), body: text.slice(end + 4) }
}
