import type { OutgoingRecord } from '@streamswitch/core/driver'
import { encodePortable, maxPortableBytes } from './message.js'
import { encodedOriginal } from './native-form.js'

/** No record takes more bytes than this on the wire. Throws where it can't be encoded. */
export function maxEncodedBytes(record: OutgoingRecord): number {
  return encodedOriginal(record)?.length ?? maxPortableBytes(record)
}

/** Writes a record as an AMQP 1.0 message, or as its original was. Returns where it ends. */
export function encodeRecord(target: Buffer, start: number, record: OutgoingRecord): number {
  const original = encodedOriginal(record)
  return original === undefined ? encodePortable(target, start, record) : start + original.copy(target, start)
}
