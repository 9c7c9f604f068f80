import { type AdapterDefinition, Transport } from '@streamswitch/core'
import { concurrently, freshName, timed } from './harness.js'

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: (line: string) => console.error(line) }
/** Requests of one measurement, by how many are in flight. */
const ROUNDS = [
  { inFlight: 1, requests: 300 },
  { inFlight: 100, requests: 5_000 },
] as const

interface Place {
  readonly url: string
  load(): Promise<AdapterDefinition>
}

const address = (variable: string, fallback: string): string => process.env[variable] ?? fallback

const PLACES: Readonly<Record<string, Place>> = {
  memory: { url: 'memory://request-bench', load: async () => (await import('@streamswitch/memory')).default },
  redis: {
    url: address('STREAMSWITCH_TEST_REDIS_URL', 'redis://127.0.0.1:6379'),
    load: async () => (await import('@streamswitch/redis')).default,
  },
  kafka: {
    url: address('STREAMSWITCH_TEST_KAFKA_URL', 'kafka://127.0.0.1:9092'),
    load: async () => (await import('@streamswitch/kafka')).default,
  },
  amqp: {
    url: address('STREAMSWITCH_TEST_AMQP_URL', 'amqp://guest:guest@127.0.0.1:5672'),
    load: async () => (await import('@streamswitch/amqp')).default,
  },
  'rabbitmq-stream': {
    url: address('STREAMSWITCH_TEST_RABBITMQ_STREAM_URL', 'rabbitmq-stream://guest:guest@127.0.0.1:5552'),
    load: async () => (await import('@streamswitch/rabbitmq-stream')).default,
  },
  http: { url: 'http://127.0.0.1:18099', load: async () => (await import('@streamswitch/http')).default },
}

/** Round trips per second, from `request` to the end of a reply of one part: caller and responder in one process. */
export async function measureRequests(progress: (line: string) => void): Promise<string> {
  const rows: string[] = []
  for (const [name, place] of Object.entries(PLACES)) {
    try {
      const figures = await measure(await place.load(), place.url)
      progress(`requests on ${name}: ${figures.join(', ')}/s`)
      rows.push(`| ${name} | ${figures.join(' | ')} |`)
    } catch (error) {
      rows.push(`| ${name} | not measured: ${error instanceof Error ? error.message : String(error)} | |`)
    }
  }
  return ['| transport | round trips/s, 1 in flight | 100 in flight |', '|---|---|---|', ...rows].join('\n')
}

async function measure(adapter: AdapterDefinition, url: string): Promise<number[]> {
  const open = (): Transport => new Transport(adapter, url, { environment: {}, logger: SILENT })
  await using answering = open()
  await using asking = open()
  const topic = freshName()
  const loop = answering.consumer<number>(topic, { group: 'bench', concurrency: 1_000 })
  loop.handle(async (message) => message.value + 1)
  // `init` tells what it fails of.
  loop.run().catch(() => {})
  await loop.init()
  const producer = asking.producer<number>(topic)
  const ask = async (value: number): Promise<void> => {
    const reply = producer.request<number>(value)
    if ((await reply.read()) !== value + 1 || (await reply.read()) !== undefined) throw new Error('a wrong reply')
  }
  const figures: number[] = []
  for (const { inFlight, requests } of ROUNDS) {
    await concurrently(Math.ceil(requests / 5), inFlight, ask)
    const seconds = await timed(() => concurrently(requests, inFlight, ask))
    figures.push(Math.round(requests / seconds))
  }
  await Promise.all([loop.close(), producer.close()])
  await answering.admin.deleteTopic(answering.topicSpec(topic))
  return figures
}
