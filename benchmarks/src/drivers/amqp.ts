import amqp from '@streamswitch/amqp'
import { type ConfirmChannel, connect } from 'amqplib'
import { type Case, type Comparison, concurrently, freshName, IN_FLIGHT, PAYLOAD, timed } from '../harness.js'
import { consumeCase, produceCase } from '../streamswitch.js'

const PREFETCH = 500
const QUORUM = { durable: true, arguments: { 'x-queue-type': 'quorum' } }

/** amqplib by hand on a quorum queue: one awaited confirm or ack per message, and the best loop that keeps the same guarantees. */
export function amqpComparisons(url: string): Comparison[] {
  const ours = { adapter: amqp, url, messages: 30_000 }
  return [
    {
      title: 'AMQP 0-9-1, produce to a quorum queue',
      reference: 'amqplib, tuned (1000 confirms in flight)',
      cases: [
        publishing(url, 'amqplib, naive (await each confirm)', 2_000, 1),
        publishing(url, 'amqplib, tuned (1000 confirms in flight)', 30_000, IN_FLIGHT),
        produceCase(ours),
      ],
    },
    {
      title: 'AMQP 0-9-1, consume a backlog of a quorum queue',
      reference: 'amqplib, tuned (prefetch 500, ack multiple)',
      cases: [
        consuming(url, 'amqplib, naive (prefetch 1, ack each)', 3_000, 1),
        consuming(url, 'amqplib, tuned (prefetch 500, ack multiple)', 30_000, PREFETCH),
        consumeCase(ours),
      ],
    },
  ]
}

async function withQueue(
  url: string,
  body: (channel: ConfirmChannel, queue: string) => Promise<number>,
): Promise<number> {
  const connection = await connect(url, { noDelay: true })
  const channel = await connection.createConfirmChannel()
  const queue = freshName()
  await channel.assertQueue(queue, QUORUM)
  try {
    return await body(channel, queue)
  } finally {
    await channel.deleteQueue(queue)
    await connection.close()
  }
}

function publish(channel: ConfirmChannel, queue: string): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.publish('', queue, PAYLOAD, { persistent: true, mandatory: true }, (error) =>
      error === null || error === undefined ? resolve() : reject(error),
    )
  })
}

function publishing(url: string, name: string, messages: number, inFlight: number): Case {
  return {
    name,
    messages,
    run: (count) =>
      withQueue(url, (channel, queue) => timed(() => concurrently(count, inFlight, () => publish(channel, queue)))),
  }
}

function consuming(url: string, name: string, messages: number, prefetch: number): Case {
  return {
    name,
    messages,
    run: (count) =>
      withQueue(url, async (channel, queue) => {
        await concurrently(count, IN_FLIGHT, () => publish(channel, queue))
        await channel.prefetch(prefetch)
        return timed(
          () =>
            new Promise<void>((resolve, reject) => {
              let handled = 0
              const every = Math.max(1, prefetch / 2)
              const consumed = channel.consume(queue, (message) => {
                if (message === null) return reject(new Error('the consumer was cancelled'))
                handled += 1
                if (handled % every === 0 || handled === count) channel.ack(message, true)
                if (handled === count) resolve()
              })
              Promise.resolve(consumed).catch(reject)
            }),
        )
      }),
  }
}
