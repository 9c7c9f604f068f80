import { type ConfirmChannel, connect } from 'amqplib'
import { onTestFinished } from 'vitest'
import { AMQP_URL } from './brokers.js'

async function administer<T>(work: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
  const connection = await connect(AMQP_URL)
  try {
    return await work(await connection.createConfirmChannel())
  } finally {
    await connection.close()
  }
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
