import { type AdapterDefinition, Transport } from '@streamswitch/core'
import { type Comparison, concurrently, freshName, type Measured, timed } from '../measuring/case.js'

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: (line: string) => console.error(line) }

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

/** Round trips, from `request` to the end of a reply of one part: caller and responder in one process. */
export function requestComparisons(): Comparison[] {
  return [comparison(1, 300), comparison(100, 5_000)]
}

function comparison(inFlight: number, messages: number): Comparison {
  return {
    title: `Requests, ${inFlight} in flight`,
    about:
      'Round trips from `request` to the end of a reply of one part, small JSON values, caller and responder in one process. No client library has requests of its own here: the transports stand beside memory.',
    reference: 'memory',
    cases: Object.entries(PLACES).map(([name, place]) => ({
      name,
      messages,
      run: async (count) => measure(await place.load(), place.url, inFlight, count),
    })),
  }
}

async function measure(adapter: AdapterDefinition, url: string, inFlight: number, requests: number): Promise<Measured> {
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
  // The first one opens what takes the replies.
  await ask(0)
  const measured = await timed(() => concurrently(requests, inFlight, ask))
  await Promise.all([loop.close(), producer.close()])
  await answering.admin.deleteTopic(answering.topicSpec(topic))
  return measured
}
