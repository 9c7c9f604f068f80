import rabbitmqStream from '@streamswitch/rabbitmq-stream'
import { type Client, connect, Offset } from 'rabbitmq-stream-js-client'
import { creditsOnChunkCompleted } from 'rabbitmq-stream-js-client/dist/consumer_credit_policy.js'
import { type Case, type Comparison, freshName, PAYLOAD, timed } from '../harness.js'
import { consumeCase, produceCase } from '../streamswitch.js'

/** Unconfirmed messages of the tuned loop. */
const WINDOW = 10_000
/** Messages of one frame: 500 x 1 KiB stay below the frame limit of 1 MiB. */
const CHUNK = 500
/** Messages between two stored offsets. */
const STORE_EVERY = 5_000

/** rabbitmq-stream-js-client by hand: one awaited confirm per message, and the best loop that keeps the same guarantees. */
export function rabbitmqStreamComparisons(url: string): Comparison[] {
  const ours = { adapter: rabbitmqStream, url, messages: 150_000 }
  return [
    {
      title: 'RabbitMQ Streams, produce',
      reference: 'client, tuned (chunks of 500, 10,000 unconfirmed)',
      cases: [
        publishing(url, 'client, naive (await each confirm)', 3_000, 1),
        publishing(url, 'client, tuned (chunks of 500, 10,000 unconfirmed)', 150_000, WINDOW),
        produceCase(ours),
      ],
    },
    {
      title: 'RabbitMQ Streams, consume a backlog',
      reference: 'client, tuned (10 credits, offset stored per 5,000)',
      cases: [
        consuming(url, 'client, naive (1 credit, offset stored per message)', 10_000, 1, 1),
        consuming(url, 'client, tuned (10 credits, offset stored per 5,000)', 150_000, 10, STORE_EVERY),
        consumeCase(ours),
      ],
    },
  ]
}

/** Tells when so many messages are confirmed. */
class Confirms {
  #count = 0
  #waiting: { readonly count: number; readonly resolve: () => void }[] = []

  add(count: number): void {
    this.#count += count
    const due = this.#waiting.filter((one) => one.count <= this.#count)
    this.#waiting = this.#waiting.filter((one) => one.count > this.#count)
    for (const one of due) one.resolve()
  }

  reached(count: number): Promise<void> | undefined {
    return this.#count >= count ? undefined : new Promise((resolve) => this.#waiting.push({ count, resolve }))
  }
}

async function withStream(
  url: string,
  body: (client: Client, stream: string, confirms: Confirms) => Promise<number>,
): Promise<number> {
  const { hostname, port, username, password } = new URL(url)
  const confirms = new Confirms()
  const listeners = {
    publish_confirm: (confirm: { publishingIds: readonly bigint[] }) => confirms.add(confirm.publishingIds.length),
  }
  const client = await connect({ hostname, port: Number(port), username, password, vhost: '/', listeners })
  const stream = freshName()
  await client.createStream({ stream, arguments: {} })
  try {
    return await body(client, stream, confirms)
  } finally {
    await client.deleteStream({ stream })
    await client.close()
  }
}

async function publish(
  client: Client,
  stream: string,
  confirms: Confirms,
  messages: number,
  window: number,
): Promise<void> {
  const publisher = await client.declarePublisher({ stream, maxChunkLength: CHUNK })
  for (let id = 1; id <= messages; id += 1) {
    await publisher.basicSend(BigInt(id), PAYLOAD)
    if (window === 1) await publisher.flush()
    const room = confirms.reached(id - window + 1)
    if (room !== undefined) await room
  }
  await publisher.flush()
  await confirms.reached(messages)
}

function publishing(url: string, name: string, messages: number, window: number): Case {
  return {
    name,
    messages,
    run: (count) =>
      withStream(url, (client, stream, confirms) => timed(() => publish(client, stream, confirms, count, window))),
  }
}

function consuming(url: string, name: string, messages: number, credits: number, storeEvery: number): Case {
  return {
    name,
    messages,
    run: (count) =>
      withStream(url, async (client, stream, confirms) => {
        await publish(client, stream, confirms, count, WINDOW)
        return timed(
          () =>
            new Promise<void>((resolve, reject) => {
              let handled = 0
              const options = {
                stream,
                consumerRef: 'bench',
                offset: Offset.first(),
                creditPolicy: creditsOnChunkCompleted(credits, 1),
              }
              const consumer = client.declareConsumer(options, (message) => {
                handled += 1
                if (handled % storeEvery === 0) void consumer.then((one) => one.storeOffset(message.offset ?? 0n))
                if (handled === count) resolve()
              })
              consumer.catch(reject)
            }),
        )
      }),
  }
}
