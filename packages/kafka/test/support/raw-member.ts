import { onTestFinished } from 'vitest'
import { KafkaConnection } from '../../src/connection.js'
import type { MemberEvents } from '../../src/group-member.js'
import { type KafkaValues, kafkaFields } from '../../src/options.js'
import type { Generation } from '../../src/places.js'
import { brokerAddress } from './broker.js'

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** A connection to the test broker with all options at their defaults. */
export function openConnection(): KafkaConnection {
  const defaults = Object.fromEntries(Object.entries(kafkaFields).map(([name, field]) => [name, field.defaultValue]))
  return new KafkaConnection({ ...defaults, brokers: [brokerAddress] } as unknown as KafkaValues, 'test', quiet)
}

export interface RawMember {
  /** Every generation that it was part of. */
  readonly generations: readonly Generation[]
  /** Resolves once it has been part of this many. */
  reached(count: number): Promise<void>
  close(): Promise<void>
}

/** A member without a driver: it joins, and takes nothing. */
export async function joinRaw(topic: string, group: string, name = 'raw'): Promise<RawMember> {
  const generations: Generation[] = []
  const waiting: (() => void)[] = []
  const events: MemberEvents = {
    leaving: async () => {},
    joined: async (generation) => {
      generations.push(generation)
      for (const wake of waiting.splice(0)) wake()
      return true
    },
    fetched: () => undefined,
    outOfRange: async () => {},
    lost: () => {},
  }
  const settings = {
    sessionTimeoutMs: 10_000,
    heartbeatIntervalMs: 200,
    rebalanceTimeoutMs: 10_000,
    maxWaitMs: 100,
    fetchMaxBytes: 1_000_000,
    fetchMaxPartitionBytes: 1_000_000,
    metadataMaxAgeMs: 300_000,
  }
  const member = await openConnection().member(name, { ...settings, group, topics: [topic] }, events)
  onTestFinished(() => member.close())
  await member.open(AbortSignal.timeout(15_000))
  return {
    generations,
    reached: async (count) => {
      while (generations.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
    },
    close: () => member.close(),
  }
}

/** Commits for a group as another process would have done, and leaves. */
export async function commitAs(topic: string, group: string, offset: number, metadata: string): Promise<void> {
  const member = await joinRaw(topic, group)
  await member.generations[0]?.commit([{ topic, partition: 0, offset, metadata }])
  await member.close()
}
