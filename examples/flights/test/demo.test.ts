import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { AMQP_URL, FULL_CHECKSUM, KAFKA_URL, RABBITMQ_STREAM_URL, REDIS_URL } from './full-run.js'
import { runDemo } from './run-demo.js'

/** A base URL of this machine at which nobody listens. */
async function freeHttpUrl(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { readonly port: number }
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${port}`
}

const TRANSPORTS = [
  ['memory', async () => 'memory://'],
  ['redis', async () => REDIS_URL],
  ['http', freeHttpUrl],
  ['kafka', async () => KAFKA_URL],
  ['amqp', async () => AMQP_URL],
  ['rabbitmq-stream', async () => RABBITMQ_STREAM_URL],
] as const

describe('the demo', () => {
  it.each(TRANSPORTS)('gives the same checksum on %s', { timeout: 90_000 }, async (_name, url) => {
    const { code, output } = await runDemo([], await url())
    expect(output).toContain(`checksum ${FULL_CHECKSUM}, as expected`)
    expect(code).toBe(0)
  })

  it.each(TRANSPORTS.slice(1))(
    'gives the same checksum on %s with a process per service',
    { timeout: 90_000 },
    async (_name, url) => {
      const { code, output } = await runDemo(['--processes'], await url())
      expect(output).toContain(`checksum ${FULL_CHECKSUM}, as expected`)
      expect(code).toBe(0)
    },
  )

  it('refuses a process per service where the transport stays within one', async () => {
    const { code, output } = await runDemo(['--processes'], 'memory://')
    expect(output).toContain("the memory transport doesn't offer 'multiProcess'")
    expect(code).toBe(1)
  })

  it('says what to install where the transport is missing', async () => {
    const { code, output } = await runDemo([], 'carrier-pigeon://127.0.0.1')
    expect(output).toContain("unknown URL scheme 'carrier-pigeon'")
    expect(code).toBe(1)
  })
})
