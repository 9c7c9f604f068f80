import type { AdapterDefinition } from '@streamswitch/core'
import type { BrokerName } from '@streamswitch/testkit/brokers'

/** Messages that each loop handles before it goes idle. */
export const MESSAGES = 100

/** Loops of one process, each a group of its own on one topic. */
export interface IdleCase {
  readonly transport: IdleTransport
  readonly url: string
  readonly loops: number
  readonly partitions: number
  /** Time between the last message and the measurement, in milliseconds. */
  readonly quietMs: number
  /** Length of the measurement, in milliseconds. */
  readonly windowMs: number
}

/** What idle loops cost their process. */
export interface IdleCost {
  /** How long it took until all loops had joined their groups, in seconds. */
  readonly joinSeconds: number
  /** TCP connections of the process. */
  readonly sockets: number
  /** TCP packets with data that the process sent, per second; `undefined` where the system has no `ss`. */
  readonly packetsPerSecond: number | undefined
  readonly bytesPerSecond: number | undefined
  /** Share of one core, as a percentage. */
  readonly cpuPercent: number
}

/** What the process does now: `joining: 30 of 100 loops`. */
export type IdleReply =
  | { readonly stage: string }
  | { readonly measuring: true }
  | { readonly cost: IdleCost }
  | { readonly problem: string }

export type IdleTransport = 'memory' | 'http' | 'redis' | 'kafka' | 'amqp' | 'rabbitmq-stream'

interface TransportUnderTest {
  /** The broker that it needs; without one, its URL. */
  readonly broker: BrokerName | undefined
  readonly partitioned: boolean
  readonly adapter: () => Promise<AdapterDefinition>
}

export const IDLE_TRANSPORTS: Readonly<Record<IdleTransport, TransportUnderTest>> = {
  memory: {
    broker: undefined,
    partitioned: true,
    adapter: async () => (await import('@streamswitch/memory')).default,
  },
  http: { broker: undefined, partitioned: false, adapter: async () => (await import('@streamswitch/http')).default },
  redis: { broker: 'redis', partitioned: true, adapter: async () => (await import('@streamswitch/redis')).default },
  kafka: { broker: 'kafka', partitioned: true, adapter: async () => (await import('@streamswitch/kafka')).default },
  amqp: { broker: 'rabbitmq', partitioned: true, adapter: async () => (await import('@streamswitch/amqp')).default },
  'rabbitmq-stream': {
    broker: 'rabbitmq',
    partitioned: true,
    adapter: async () => (await import('@streamswitch/rabbitmq-stream')).default,
  },
}
