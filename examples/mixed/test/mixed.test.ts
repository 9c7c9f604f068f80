import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { OFFICIAL_ADAPTERS } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'

const PACKAGE = join(import.meta.dirname, '..')
const ENTRY = join(PACKAGE, 'dist', 'main.js')
const KAFKA_URL = process.env.STREAMSWITCH_TEST_KAFKA_URL ?? 'kafka://127.0.0.1:9092'
const AMQP_URL = process.env.STREAMSWITCH_TEST_AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672'

/** Runs the built example as a user does, and returns what it printed. */
function run(
  args: readonly string[],
  variables: Record<string, string> = {},
): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [ENTRY, ...args], { env: { ...process.env, ...variables } }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: `${stdout}${stderr}` })
    })
  })
}

/** HTTP in, Kafka in the middle, AMQP out. */
async function brokers(): Promise<Record<string, string>> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { readonly port: number }
  await new Promise((resolve) => server.close(resolve))
  return {
    MIXED_ORDERS_URL: `http://127.0.0.1:${port}`,
    MIXED_PAYMENTS_URL: KAFKA_URL,
    MIXED_RECEIPTS_URL: AMQP_URL,
  }
}

const RIGHT =
  /^2000 receipts of \d+ cents booked, [1-9]\d* came again and were skipped\nnothing lost, every customer in order\n$/

describe('the mixed example', () => {
  it('loses nothing and keeps the order with all queues in memory', async () => {
    const { code, output } = await run([])
    expect(output).toMatch(RIGHT)
    expect(code).toBe(0)
  })

  it.each([[[]], [['--processes']]])('does so over HTTP, Kafka and AMQP %j', { timeout: 90_000 }, async (args) => {
    const { code, output } = await run(args, await brokers())
    expect(output).toMatch(RIGHT)
    expect(code).toBe(0)
  })

  it('refuses three processes where a queue stays within one', async () => {
    const { code, output } = await run(['--processes'])
    expect(output).toContain("queue 'orders' is on the memory transport, which stays within one process")
    expect(code).toBe(1)
  })

  it('names every queue whose transport is unknown', async () => {
    const { code, output } = await run([], { MIXED_ORDERS_URL: 'pigeon://a', MIXED_RECEIPTS_URL: 'smoke://b' })
    for (const place of ['queues.orders.consumerLoop', 'queues.orders.producer', 'queues.receipts.producer'])
      expect(output).toContain(place)
    expect(code).toBe(1)
  })
})

describe('its services', () => {
  const sources = join(PACKAGE, 'src')
  const services = readdirSync(sources).filter((file) => file.endsWith('-service.ts'))

  it.each(services)('%s names no transport and imports core alone', (file) => {
    const source = readFileSync(join(sources, file), 'utf8')
    const words = OFFICIAL_ADAPTERS.flatMap(({ name, schemes }) => [name, ...schemes])
    expect(words.filter((word) => new RegExp(`\\b${word.replaceAll('+', '\\+')}\\b`, 'i').test(source))).toEqual([])
    const packages = [...source.matchAll(/\bfrom '([^.'][^']*)'/g)].map(([, specifier]) => specifier)
    expect(packages.filter((specifier) => specifier !== '@streamswitch/core')).toEqual([])
  })
})
