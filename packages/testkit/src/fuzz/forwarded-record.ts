import type { Delivery, OutgoingRecord } from '@streamswitch/core/driver'
import { Violation } from './target.js'

/**
 * What a producer is given to pass on a message that a decoder has read. Throws Violation where the delivery isn't what the contract
 * says: a header that is no string, a timestamp that is NaN.
 */
export function forwardedRecord(delivery: Delivery): OutgoingRecord {
  const { id, key, bytes: payload, headers, timestamp } = delivery
  for (const value of Object.values(headers))
    if (typeof value !== 'string') throw new Violation(`a header is a ${typeof value}`)
  if (Number.isNaN(timestamp)) throw new Violation('the timestamp is NaN')
  const unset = { partition: undefined, sequence: undefined, size: 0, resends: 0 }
  return { id, key, payload, headers, timestamp, ...unset }
}
