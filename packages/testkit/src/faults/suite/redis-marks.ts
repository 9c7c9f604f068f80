import { type AdapterDefinition, type DedupeStore, Transport } from '@streamswitch/core'
import type { MakeSettings } from '../worker-spec.js'

/** What a worker needs of the module of the Redis adapter. */
interface RedisModule {
  readonly default: AdapterDefinition
  readonly RedisDedupeStore: new (transport: Transport) => DedupeStore
}

/** Marks on the Redis server that the messages come from, where a mark and an ack are one step. */
const makeSettings: MakeSettings = async ({ adapter, url, options = {} }) => {
  const { default: redis, RedisDedupeStore } = (await import(adapter)) as RedisModule
  return { dedupe: { store: new RedisDedupeStore(new Transport(redis, url, { environment: {}, options })) } }
}

export default makeSettings
