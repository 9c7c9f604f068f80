import type { Headers } from '../message.js'
import { RESERVED_PREFIX } from '../wire/reserved-headers.js'

/**
 * What an adapter's received messages are in the broker's own terms, beyond what the portable message holds: bytes that are no text,
 * repeated headers, properties without a counterpart. With it, dead letters, replays and forwarded messages stay byte for byte as they came, as long as
 * they stay on transports of one format.
 */
export interface NativeForm {
  /** Names what `Delivery.native` is, for example `kafka`. A producer driver whose adapter has the same format can write it again. */
  readonly format: string
  /**
   * What of a received message the portable form lacks, a short name each: `key bytes`, `header 'tags' (list)`, `property 'content-encoding'`. Empty: nothing. Called
   * only when a message is passed to a transport of another format, which can't carry these. Must not throw.
   */
  beyondPortable(native: unknown): readonly string[]
}

/**
 * A received message, or its key alone, that is passed on unchanged. A producer driver gets it only where it has the same format as the consumer
 * driver that received the message. It writes the record from `native`, with these differences:
 *
 * - id and timestamp are the record's;
 * - headers of the record replace native ones of the same name whose text differs from it ({@link keepsNativeHeader}), and are added where there are none;
 * - reserved headers (`streamswitch-`) that the record doesn't have are dropped;
 * - all other native headers stay as they are, also those that the portable message doesn't show.
 */
export interface OriginalRecord {
  readonly native: unknown
  /** `key`: only the key's bytes are taken from `native`; payload and headers are the record's. */
  readonly part: 'message' | 'key'
}

/**
 * Whether a native header stays as it is in a record that is written from its original.
 *
 * @param text - what the portable message shows of it; `undefined`: nothing, since it is no text.
 */
export function keepsNativeHeader(name: string, text: string | undefined, headers: Headers | undefined): boolean {
  // A foreign header may be called `toString` or `__proto__`.
  if (headers === undefined || !Object.hasOwn(headers, name)) return !name.startsWith(RESERVED_PREFIX)
  return headers[name] === text
}
