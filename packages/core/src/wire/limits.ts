/**
 * Limits of a message, on every transport. Sending refuses what exceeds them; what is received from elsewhere is
 * brought within them (`arrival/arrived.ts`), so that everything received can be written again: to dead letters, by a
 * replay, to another topic.
 */

/** Maximum size of an id in UTF-8, in bytes. */
export const MAX_ID_BYTES = 256
/** Maximum size of a key in UTF-8, in bytes. */
export const MAX_KEY_BYTES = 1024
/** Maximum length of a header's name, in characters. */
export const MAX_HEADER_NAME = 256
/** Maximum size of all of a user's headers together, names and values, in bytes. */
export const MAX_HEADERS_BYTES = 32 * 1024
/** Maximum size of all reserved headers together, which Streamswitch adds, in bytes. */
export const MAX_RESERVED_BYTES = 16 * 1024
/** Maximum size of a reply address, in bytes. */
export const MAX_REPLY_TO_BYTES = 1024
/** The maximum time of a `Date`, in milliseconds since the epoch. */
export const MAX_TIMESTAMP = 8_640_000_000_000_000
/** Maximum number of handler starts accepted from a record. */
export const MAX_ATTEMPTS = 1_000_000_000

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not pass
const CONTROL = /[\u0000-\u001f\u007f]/

/** True for a string with control characters, which no id, header name or reply address may contain. */
export function hasControls(text: string): boolean {
  return CONTROL.test(text)
}

/** Returns whether a string has more bytes in UTF-8 than allowed. Cheap for short ones. */
export function exceeds(text: string, maxBytes: number): boolean {
  return text.length * 3 > maxBytes && (text.length > maxBytes || Buffer.byteLength(text) > maxBytes)
}
