import { decodeFetchResponse } from './fetch-response.js'
import type { Broker, BrokerPool, LookUpRequest, MakeFetchRequest } from './kafkajs-internals.js'

const FETCH = 1
/** The highest version that kafkajs knows, and every broker since 2.3 takes. */
const FETCH_VERSION = 11

/**
 * Decodes what the brokers of a pool answer to fetches. kafkajs's decoder makes a buffer, a reader and several 64-bit integer objects for each record:
 * a third of what receiving costs. It hands a partition's records on as arguments of one call, which a batch of some 100,000 small ones overflows. It
 * decompresses whatever comes, however large it gets, and one batch that it can't read fails the whole fetch.
 */
export function decodeFetches(pool: BrokerPool, limits: { readonly maxDecompressedBytes: number }): void {
  const { createBroker } = pool
  pool.createBroker = (options) => decoding(createBroker.call(pool, options), limits)
}

function decoding(broker: Broker, limits: { readonly maxDecompressedBytes: number }): Broker {
  let { lookupRequest } = broker
  const looking: LookUpRequest = (apiKey, protocol) => {
    const make = lookupRequest(apiKey, protocol)
    return apiKey === FETCH ? withDecoder(make as MakeFetchRequest, limits) : make
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

function withDecoder(make: MakeFetchRequest, limits: { readonly maxDecompressedBytes: number }): MakeFetchRequest {
  return (parameters) => {
    const made = make(parameters)
    if (made.request.apiVersion !== FETCH_VERSION) return made
    const { response } = made
    const decode = async (raw: Buffer) => (await decodeFetchResponse(raw, limits)) ?? response.decode(raw)
    return { ...made, response: { ...response, decode } }
  }
}
