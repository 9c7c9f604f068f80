import { type ConfirmChannel, connect } from 'amqplib'
import { expect, onTestFinished } from 'vitest'
import { AMQP_URL } from './brokers.js'
import { WAIT } from './recipe.js'

async function administer<T>(work: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
  const connection = await connect(AMQP_URL)
  connection.on('error', () => {})
  try {
    const channel = await connection.createConfirmChannel()
    // A queue that is missing closes the channel.
    channel.on('error', () => {})
    return await work(channel)
  } finally {
    await connection.close().catch(() => {})
  }
}

/** Resolves once a queue exists and has so many consumers, and no message waits in it. */
export async function idleWith(queue: string, consumers: number): Promise<void> {
  const state = () =>
    administer(async (channel) => {
      const { consumerCount, messageCount } = await channel.checkQueue(queue)
      return `${consumerCount} consumers, ${messageCount} messages`
    }).catch(() => 'no queue')
  await expect.poll(state, WAIT).toBe(`${consumers} consumers, 0 messages`)
}

/** Deletes queues or streams, and an exchange, once the test has ended. */
export function deletesAfterwards(queues: readonly string[], exchange?: string): void {
  onTestFinished(() =>
    administer(async (channel) => {
      for (const queue of queues) await channel.deleteQueue(queue)
      if (exchange !== undefined) await channel.deleteExchange(exchange)
    }),
  )
}
