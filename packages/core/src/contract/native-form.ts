import type { Headers } from '../message.js'
import { RESERVED_PREFIX } from '../wire/reserved-headers.js'

/**
 * Describes what an adapter's received messages hold beyond the portable message, in the broker's terms: bytes that
 * aren't text, repeated headers, properties without a counterpart. With it, dead letters, replays and forwarded
 * messages stay byte for byte unchanged, as long as they stay on transports of one format.
 */
export interface NativeForm {
  /**
   * Format of `Delivery.native`, for example `kafka`. A producer driver whose adapter has the same format can write it
   * again.
   */
  readonly format: string
  /**
   * Returns what the portable form of a received message lacks, a short name each: `key bytes`, `header 'tags' (list)`,
   * `property 'content-encoding'`. Empty: nothing. Called only when a message is passed to a transport of another
   * format, which can't carry these. Must not throw.
   */
  beyondPortable(native: unknown): readonly string[]
}

/**
 * A received message, or only its key, that is forwarded unchanged. A producer driver gets it only when it has the same
 * format as the consumer driver that received the message. It writes the record from `native`, with these differences:
 *
 * - id and timestamp are the record's;
 * - headers of the record replace native ones of the same name whose value as a string differs ({@link
 *   keepsNativeHeader}), and are added if missing;
 * - reserved headers (`streamswitch-`) that the record doesn't have are dropped;
 * - all other native headers stay as they are, also those that the portable message doesn't show.
 */
export interface OriginalRecord {
  readonly native: unknown
  /** key`: only the key's bytes are used from `native`; payload and headers are the record's. */
  readonly part: 'message' | 'key'
}

/**
 * Returns whether a native header stays as it is in a record that is written from its original.
 *
 * @param text - its value in the portable message; `undefined`: none, since it isn't a string.
 */
export function keepsNativeHeader(name: string, text: string | undefined, headers: Headers | undefined): boolean {
  // A foreign header may be named `toString` or `__proto__`.
  if (headers === undefined || !Object.hasOwn(headers, name)) return !name.startsWith(RESERVED_PREFIX)
  return headers[name] === text
}
