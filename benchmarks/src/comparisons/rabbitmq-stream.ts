import { setTimeout as delay } from 'node:timers/promises'
import rabbitmqStream from '@streamswitch/rabbitmq-stream'
import { type Client, connect, Offset } from 'rabbitmq-stream-js-client'
import { creditsOnChunkCompleted } from 'rabbitmq-stream-js-client/dist/consumer_credit_policy.js'
import {
  type Case,
  type Comparison,
  freshName,
  IN_FLIGHT,
  type Measured,
  PAYLOAD,
  stopwatch,
  timed,
} from '../measuring/case.js'
import { consumeCase, produceCase } from '../streamswitch.js'

/** Longest wait for the end of a connection, in milliseconds. */
const GOODBYE_MS = 3_000
/** Messages of one frame: 500 x 1 KiB stay below the frame limit of 1 MiB. */
const CHUNK = 500
/** Messages between two stored offsets. */
const STORE_EVERY = 5_000
const MESSAGES = 150_000
const CONFIRMS = `client by hand, tuned (chunks of ${CHUNK}, ${IN_FLIGHT} unconfirmed)`
const CREDITS = 'client by hand, tuned (10 credits, offset stored per 5000)'

/** rabbitmq-stream-js-client by hand: one awaited confirm per message, and the best loop that keeps the same guarantees. */
export function rabbitmqStreamComparisons(url: string): Comparison[] {
  const ours = { adapter: rabbitmqStream, url, messages: MESSAGES }
  return [
    {
      title: 'RabbitMQ Streams, produce',
      about:
        'One stream, publishing ids, resolved by the confirm of the broker. Streamswitch adds message id and timestamp to every message.',
      reference: CONFIRMS,
      cases: [
        publishing(url, 'client, naive (await each confirm)', 3_000, 1),
        publishing(url, CONFIRMS, MESSAGES, IN_FLIGHT),
        publishing(url, 'client by hand (chunks of 500, 10,000 unconfirmed)', MESSAGES, 10_000),
        produceCase(ours),
        streamPerfTest(),
      ],
    },
    {
      title: 'RabbitMQ Streams, consume a backlog',
      about:
        'Offsets are stored after handling. The clock runs from the first handled message until the last offset is on its way.',
      reference: CREDITS,
      cases: [
        consuming(url, 'client, naive (1 credit, offset stored per message)', 10_000, 1, 1),
        consuming(url, CREDITS, MESSAGES, 10, STORE_EVERY),
        consumeCase(ours),
        streamPerfTest(),
      ],
    },
  ]
}

/** RabbitMQ's own load generator for streams is on no package repository: its row says so. */
function streamPerfTest(): Case {
  return {
    name: 'Stream PerfTest (Java)',
    messages: 1,
    run: () =>
      Promise.reject(
        new Error('com.rabbitmq:stream-perf-test is not on Maven Central; it is only a download of its project'),
      ),
  }
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
  body: (client: Client, stream: string, confirms: Confirms) => Promise<Measured>,
): Promise<Measured> {
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
    // The client leaves requests unanswered now and then; that is no part of what is measured.
    await Promise.race([client.deleteStream({ stream }).then(() => client.close()), delay(GOODBYE_MS)])
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
        await publish(client, stream, confirms, count, 10_000)
        let stop = stopwatch()
        await new Promise<void>((resolve, reject) => {
          let handled = 0
          const options = {
            stream,
            consumerRef: 'bench',
            offset: Offset.first(),
            creditPolicy: creditsOnChunkCompleted(credits, 1),
          }
          const consumer = client.declareConsumer(options, (message) => {
            if (handled === 0) stop = stopwatch()
            handled += 1
            if (handled % storeEvery === 0) void consumer.then((one) => one.storeOffset(message.offset ?? 0n))
            if (handled === count) resolve()
          })
          consumer.catch(reject)
        })
        return stop()
      }),
  }
}
