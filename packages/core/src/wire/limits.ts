/**
 * What a message may hold, on every transport. Sending refuses what lies beyond; what arrives from elsewhere is brought within
 * (`arrival/arrived.ts`), so that whatever was received can be written again: to dead letters, at a replay, to another topic.
 */

/** Bytes of an id in UTF-8. */
export const MAX_ID_BYTES = 256
/** Bytes of a key in UTF-8. */
export const MAX_KEY_BYTES = 1024
/** Characters of a header's name. */
export const MAX_HEADER_NAME = 256
/** Bytes of all of a user's headers together, names and values. */
export const MAX_HEADERS_BYTES = 32 * 1024
/** Bytes of all reserved headers together: what Streamswitch itself adds. */
export const MAX_RESERVED_BYTES = 16 * 1024
/** Bytes of a reply address. */
export const MAX_REPLY_TO_BYTES = 1024
/** The last moment that a `Date` can hold, in milliseconds since the epoch. */
export const MAX_TIMESTAMP = 8_640_000_000_000_000
/** The highest number of handler starts that is believed. */
export const MAX_ATTEMPTS = 1_000_000_000

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not pass
const CONTROL = /[\u0000-\u001f\u007f]/

/** True for a text with control characters, which may stand in no id, header name or reply address. */
export function hasControls(text: string): boolean {
  return CONTROL.test(text)
}

/** Whether a text has more bytes in UTF-8 than allowed. Cheap for short ones. */
export function exceeds(text: string, maxBytes: number): boolean {
  return text.length * 3 > maxBytes && (text.length > maxBytes || Buffer.byteLength(text) > maxBytes)
}
