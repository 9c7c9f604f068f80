import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const ENTRY = join(import.meta.dirname, '..', 'dist', 'main.js')
const REDIS = process.env.STREAMSWITCH_TEST_REDIS_URL ?? 'redis://127.0.0.1:6379'
const KAFKA = process.env.STREAMSWITCH_TEST_KAFKA_URL ?? 'kafka://127.0.0.1:9092'
const AMQP = process.env.STREAMSWITCH_TEST_AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672'
const STREAM = process.env.STREAMSWITCH_TEST_RABBITMQ_STREAM_URL ?? 'rabbitmq-stream://guest:guest@127.0.0.1:5552'

/** A base URL of this machine at which nobody listens. */
async function freeHttpUrl(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { readonly port: number }
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${port}`
}

/** Runs the built example as a user does. */
function run(url: string, feedback: string, ...args: string[]): Promise<{ code: number; output: string }> {
  const env = { ...process.env, STREAMSWITCH_URL: url, STREAMSWITCH_FEEDBACK_URL: feedback }
  return new Promise((resolve) => {
    execFile(process.execPath, [ENTRY, ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: `${stdout}${stderr}` })
    })
  })
}

async function expectAllRight(url: string, feedback: string, ...args: string[]): Promise<string> {
  const { code, output } = await run(url, feedback, ...args)
  expect(output).toContain('every reply as expected')
  expect(code).toBe(0)
  return output
}

const TRANSPORTS = [
  ['memory', async () => 'memory://'],
  ['redis', async () => REDIS],
  ['http', freeHttpUrl],
  ['kafka', async () => KAFKA],
  ['amqp', async () => AMQP],
  ['rabbitmq-stream', async () => STREAM],
] as const

describe('requests and replies on one transport', () => {
  it.each(TRANSPORTS)('%s', { timeout: 60_000 }, async (name, url) => {
    const output = await expectAllRight(await url(), '')
    expect(output).toContain(`requests on ${name}, replies on ${name}`)
    expect(output).toContain('report: part 10 of 10')
  })

  it.each(TRANSPORTS.slice(1))('%s, with three callers in processes', { timeout: 60_000 }, async (_name, url) => {
    await expectAllRight(await url(), '', '--callers', '3')
  })
})

describe('requests on one transport, replies on another', () => {
  it('kafka and redis, with three callers in processes', { timeout: 60_000 }, async () => {
    const output = await expectAllRight(KAFKA, REDIS, '--callers', '3')
    expect(output).toContain('requests on kafka, replies on redis')
  })

  it.each([
    ['redis', REDIS, 'amqp', AMQP],
    ['amqp', AMQP, 'rabbitmq-stream', STREAM],
    ['rabbitmq-stream', STREAM, 'kafka', KAFKA],
    ['kafka', KAFKA, 'memory', 'memory://'],
  ])('%s (%s) and %s (%s)', { timeout: 60_000 }, async (main, url, other, feedback) => {
    const output = await expectAllRight(url, feedback)
    expect(output).toContain(`requests on ${main}, replies on ${other}`)
  })

  it('http and redis; redis and http', { timeout: 60_000 }, async () => {
    await expectAllRight(await freeHttpUrl(), REDIS, '--callers', '2')
    await expectAllRight(REDIS, await freeHttpUrl())
  })
})
