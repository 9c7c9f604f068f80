import type { BrokerMeans } from '@streamswitch/testkit'
import type { BrokerHandle } from '@streamswitch/testkit/brokers'
import { setRabbitmqAlarm } from '@streamswitch/testkit/faults'

/** Bounds a partition to two files of the smallest size, of which the older one goes when a third begins. */
export const TRIM_RETENTION = { maxBytes: 2_000_000 }

/** What can be done to a RabbitMQ and its streams. Groups are positions within the streams: nothing deletes them. */
export function streamMeans(broker: () => BrokerHandle): BrokerMeans {
  return {
    exhaust: () => setRabbitmqAlarm(broker(), 'disk', true),
    relieve: () => setRabbitmqAlarm(broker(), 'disk', false),
    trim: ({ partitions }, overflow) => overflow(partitions * 3 * TRIM_RETENTION.maxBytes),
    exhaustedMs: 20_000,
    changedMs: 20_000,
  }
}
