import { BATCH_TYPE } from '../../src/wire/batch-frames.js'

/** A batch whose heads are given as they are, each with a payload. */
export function batchOf(heads: readonly (Buffer | string)[], payload: Buffer | string = '1'): Buffer {
  return Buffer.concat(heads.flatMap((head) => [chunk(head), chunk(payload)]))
}

function chunk(content: Buffer | string): Buffer {
  const bytes = Buffer.from(content)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

export interface Answer {
  readonly status: number
  readonly body: string
}

/** Posts to `/orders/billing`, as a client that knows nothing of Streamswitch does. */
export async function post(
  base: string,
  body: Buffer | string,
  headers: Readonly<Record<string, string>> = { 'content-type': BATCH_TYPE },
  path = '/orders/billing',
): Promise<Answer> {
  const response = await fetch(`${base}${path}`, { method: 'POST', body: new Uint8Array(Buffer.from(body)), headers })
  return { status: response.status, body: await response.text() }
}
