import type { Broker, BrokerPool, LookUpRequest } from './kafkajs-internals.js'

/** Changes how one kind of request is built and its responses are read. */
export type RequestHook = (make: (parameters: never) => unknown) => (parameters: never) => unknown

/** Makes the brokers of a pool send requests through hooks, by API key. */
export function hookRequests(pool: BrokerPool, hooks: ReadonlyMap<number, RequestHook>): void {
  const { createBroker } = pool
  pool.createBroker = (options) => hooked(createBroker.call(pool, options), hooks)
}

function hooked(broker: Broker, hooks: ReadonlyMap<number, RequestHook>): Broker {
  let { lookupRequest } = broker
  const looking: LookUpRequest = (apiKey, protocol) => {
    const make = lookupRequest(apiKey, protocol)
    return hooks.get(apiKey)?.(make) ?? make
  }
  // kafkajs sets it when it has connected.
  Object.defineProperty(broker, 'lookupRequest', {
    get: () => looking,
    set: (set: LookUpRequest) => {
      lookupRequest = set
    },
  })
  return broker
}
