import amqp from '@streamswitch/amqp'
import { type ConfirmChannel, connect } from 'amqplib'
import {
  type Case,
  type Comparison,
  concurrently,
  freshName,
  IN_FLIGHT,
  type Measured,
  PAYLOAD,
  stopwatch,
  timed,
} from '../measuring/case.js'
import { consumeCase, produceCase } from '../streamswitch.js'
import { perfTestConsumes, perfTestPublishes } from '../tools/perf-test.js'

const QUORUM = { durable: true, arguments: { 'x-queue-type': 'quorum' } }
const PREFETCH = 1_000
const CONFIRMS = 'amqplib by hand, tuned (1000 confirms in flight)'
const MULTIPLE = `amqplib by hand, tuned (prefetch ${PREFETCH}, ack multiple every ${PREFETCH / 2})`
const MESSAGES = 60_000

/** amqplib by hand on a quorum queue: one awaited confirm or ack per message, and the best loop that keeps the same guarantees. */
export function amqpComparisons(url: string): Comparison[] {
  const ours = { adapter: amqp, url, messages: MESSAGES }
  return [
    {
      title: 'AMQP 0-9-1, produce to a quorum queue',
      about:
        'Persistent and mandatory, with message id, timestamp and one header, resolved by the confirm of the broker.',
      reference: CONFIRMS,
      cases: [
        publishing(url, 'amqplib, naive (await each confirm)', 2_000, 1),
        publishing(url, CONFIRMS, MESSAGES, IN_FLIGHT),
        produceCase(ours),
        {
          name: 'PerfTest --confirm 1000 --flag persistent --quorum-queue (Java)',
          messages: MESSAGES,
          run: (count) => forPerfTest(url, (queue) => perfTestPublishes(url, queue, '--quorum-queue', count)),
        },
      ],
    },
    {
      title: 'AMQP 0-9-1, consume a backlog of a quorum queue',
      about: 'Acked after handling. The clock runs from the first handled message until the broker has the last ack.',
      reference: MULTIPLE,
      cases: [
        consuming(url, 'amqplib, naive (prefetch 1, ack each)', 3_000, 1),
        consuming(url, MULTIPLE, MESSAGES, PREFETCH),
        consumeCase(ours),
        {
          name: `PerfTest --qos ${PREFETCH} --multi-ack-every ${PREFETCH / 2} --quorum-queue (Java)`,
          messages: MESSAGES,
          run: (count) =>
            withQueue(url, async (channel, queue) => {
              await concurrently(count, IN_FLIGHT, (index) => publish(channel, queue, index))
              return perfTestConsumes(url, queue, '--quorum-queue', count, PREFETCH)
            }),
        },
      ],
    },
  ]
}

async function withChannel(url: string, body: (channel: ConfirmChannel) => Promise<Measured>): Promise<Measured> {
  const connection = await connect(url, { noDelay: true })
  try {
    return await body(await connection.createConfirmChannel())
  } finally {
    await connection.close()
  }
}

/** A queue that PerfTest makes as it needs it, and that is deleted here. */
function forPerfTest(url: string, body: (queue: string) => Promise<Measured>): Promise<Measured> {
  return withChannel(url, async (channel) => {
    const queue = freshName()
    try {
      return await body(queue)
    } finally {
      await channel.deleteQueue(queue)
    }
  })
}

function withQueue(
  url: string,
  body: (channel: ConfirmChannel, queue: string) => Promise<Measured>,
): Promise<Measured> {
  return withChannel(url, async (channel) => {
    const queue = freshName()
    await channel.assertQueue(queue, QUORUM)
    try {
      return await body(channel, queue)
    } finally {
      await channel.deleteQueue(queue)
    }
  })
}

function publish(channel: ConfirmChannel, queue: string, index: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const now = Date.now()
    const properties = {
      persistent: true,
      mandatory: true,
      messageId: `message-${index}`,
      timestamp: Math.floor(now / 1_000),
      headers: { timestamp: String(now) },
    }
    channel.publish('', queue, PAYLOAD, properties, (error) =>
      error === null || error === undefined ? resolve() : reject(error),
    )
  })
}

function publishing(url: string, name: string, messages: number, inFlight: number): Case {
  return {
    name,
    messages,
    run: (count) =>
      withQueue(url, (channel, queue) =>
        timed(() => concurrently(count, inFlight, (index) => publish(channel, queue, index))),
      ),
  }
}

function consuming(url: string, name: string, messages: number, prefetch: number): Case {
  return {
    name,
    messages,
    run: (count) =>
      withQueue(url, async (channel, queue) => {
        await concurrently(count, IN_FLIGHT, (index) => publish(channel, queue, index))
        await channel.prefetch(prefetch)
        const stop = await consumeAll(channel, queue, count, Math.max(1, prefetch / 2))
        // The broker answers calls of a channel after what came before: the acks.
        await channel.prefetch(prefetch)
        return stop()
      }),
  }
}

/** Handles and acks so many messages, and resolves with the watch that was started by the first. */
function consumeAll(channel: ConfirmChannel, queue: string, count: number, every: number): Promise<() => Measured> {
  return new Promise((resolve, reject) => {
    let stop = stopwatch()
    let handled = 0
    const consumed = channel.consume(queue, (message) => {
      if (message === null) return reject(new Error('the consumer was cancelled'))
      if (handled === 0) stop = stopwatch()
      handled += 1
      if (handled % every === 0 || handled === count) channel.ack(message, true)
      if (handled === count) resolve(stop)
    })
    Promise.resolve(consumed).catch(reject)
  })
}
