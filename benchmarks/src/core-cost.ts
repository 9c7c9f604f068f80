import { jsonCodec, Transport } from '@streamswitch/core'
import memory from '@streamswitch/memory'
import { median, type Round, spread } from './statistics.js'

const CONCURRENCY = 1_000
const MESSAGES = 300_000
const ROUNDS = 7

/** 256 bytes as JSON text. */
const VALUE = { id: 4711, customer: 'c-0815', amount: 12.5, currency: 'EUR', paid: true, note: 'x'.repeat(171) }
const BYTES = Buffer.alloc(256, 0x61)

/** Sends and handles `MESSAGES` through the memory transport, `CONCURRENCY` sends in flight, and returns the wall time per message in microseconds. */
async function endToEnd(codec: 'bytes' | 'json', key: boolean): Promise<number> {
  await using transport = new Transport(memory, `memory://bench-${Math.random().toString(36).slice(2)}`)
  const loop = transport.consumer('orders', { group: 'bench', codec: codec as 'json', concurrency: CONCURRENCY })
  const handled = new Promise<void>((resolve) => {
    let count = 0
    loop.handle(() => {
      count += 1
      if (count === MESSAGES) resolve()
    })
  })
  void loop.run()
  await loop.init()
  const producer = transport.producer('orders', { codec: codec as 'json' })
  const value = codec === 'bytes' ? BYTES : VALUE
  let sent = 0
  const sender = async (): Promise<void> => {
    while (sent < MESSAGES) {
      sent += 1
      await producer.send(value, key ? { key: `k${sent & 1023}` } : undefined)
    }
  }
  const start = performance.now()
  await Promise.all([...Array.from({ length: CONCURRENCY }, sender), handled])
  return ((performance.now() - start) * 1000) / MESSAGES
}

/** The codec alone: encode and decode, in microseconds per message. */
async function codecOnly(): Promise<number> {
  let check = 0
  const start = performance.now()
  for (let index = 0; index < MESSAGES; index += 1) {
    const bytes = jsonCodec.encode(VALUE)
    check += (jsonCodec.decode(bytes) as typeof VALUE).id
  }
  const elapsed = performance.now() - start
  if (check !== VALUE.id * MESSAGES) throw new Error('the codec lost something')
  return (elapsed * 1000) / MESSAGES
}

const CASES: Record<string, () => Promise<number>> = {
  'raw bytes': () => endToEnd('bytes', false),
  'raw bytes, 1024 keys': () => endToEnd('bytes', true),
  JSON: () => endToEnd('json', false),
  'JSON codec alone': codecOnly,
}

/** Core's own cost, end to end through the memory transport. Interleaved rounds; the first of each is warm-up and not counted. */
export async function measureCoreCost(): Promise<string> {
  const rounds: Record<string, Round> = Object.fromEntries(Object.keys(CASES).map((name) => [name, []]))
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [name, run] of Object.entries(CASES)) {
      const microseconds = await run()
      if (round > 0) rounds[name]?.push(microseconds)
    }
  }
  const lines = [
    `Core's cost, end to end through the memory transport: 256-byte payloads, ${CONCURRENCY} sends in flight, ${MESSAGES} messages a round, median of ${ROUNDS} interleaved rounds [min-max]`,
    '',
    '| case | µs per message | messages per second |',
    '|---|---|---|',
    ...Object.entries(rounds).map(
      ([name, values]) =>
        `| ${name} | ${spread(values, 2)} | ${Math.round(1_000_000 / median(values)).toLocaleString('en')} |`,
    ),
    '',
  ]
  const [raw, json, codec] = ['raw bytes', 'JSON', 'JSON codec alone'].map((name) => median(rounds[name] ?? []))
  lines.push(
    `JSON costs ${((json ?? 0) - (codec ?? 0)).toFixed(2)} µs above its codec's own time, ${((json ?? 0) - (codec ?? 0) - (raw ?? 0)).toFixed(2)} µs of it beyond what raw bytes cost.`,
  )
  return lines.join('\n')
}
