import type { BrokerMeans } from '@streamswitch/testkit'
import type { BrokerHandle } from '@streamswitch/testkit/brokers'
import { setRabbitmqAlarm } from '@streamswitch/testkit/faults'
import { connect } from 'amqplib'

/** What can be done to a RabbitMQ and its queues without the adapter. */
export function amqpMeans(broker: () => BrokerHandle): BrokerMeans {
  return {
    exhaust: () => setRabbitmqAlarm(broker(), 'memory', true),
    relieve: () => setRabbitmqAlarm(broker(), 'memory', false),
    async deleteGroup({ topic, group, partitions }) {
      const connection = await connect(broker().url)
      const channel = await connection.createChannel()
      for (let number = 0; number < partitions; number += 1) await channel.deleteQueue(`${topic}:${group}:${number}`)
      await connection.close()
    },
    exhaustedMs: 10_000,
    changedMs: 10_000,
  }
}
