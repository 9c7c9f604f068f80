import { decodeFetchResponse } from './fetch-response.js'
import type { FetchResponse, MakeFetchRequest } from './kafkajs-internals.js'
import type { RequestHook } from './request-hooks.js'

export const FETCH = 1

/** How long the first fetch after throttling may take to return something, in milliseconds. */
const AFTER_THROTTLING_MS = 1_000

/** Until when a client's brokers delay its fetches, since it has exceeded its quota, by the monotonic clock. */
export interface Throttling {
  until: number
}

/** The highest version that kafkajs knows, and every broker since 2.3 supports. */
const FETCH_VERSION = 11

/**
 * Decodes the brokers' fetch responses. kafkajs's decoder creates a buffer, a reader and several 64-bit integer objects
 * for each record: a third of the cost of receiving. It passes a partition's records on as arguments of one call, which
 * a batch of some 100,000 small ones overflows. It decompresses without limit, and one batch that it can't read fails
 * the whole fetch.
 */
export function fetchDecoding(limits: { readonly maxDecompressedBytes: number }, throttling: Throttling): RequestHook {
  return (make) => (parameters) => {
    const made = (make as MakeFetchRequest)(parameters)
    if (made.request.apiVersion !== FETCH_VERSION) return made
    const { response } = made
    const decode = async (raw: Buffer): Promise<FetchResponse> => {
      const decoded = await decodeFetchResponse(raw, limits)
      const { clientSideThrottleTime } = decoded
      if (clientSideThrottleTime > 0)
        throttling.until = performance.now() + clientSideThrottleTime + AFTER_THROTTLING_MS
      return decoded
    }
    return { ...made, response: { ...response, decode } }
  }
}
