import { isUtf8 } from 'node:buffer'

/**
 * A header's value as its sender meant it. Node.js reads the bytes as Latin-1; clients such as curl send UTF-8. What is no UTF-8 stays
 * Latin-1, as RFC 9110, section 5.5, once had it. Escapes are left to who knows of them.
 */
export function receivedText(latin1: string): string {
  if (!BEYOND_ASCII.test(latin1)) return latin1
  const bytes = Buffer.from(latin1, 'latin1')
  return isUtf8(bytes) ? bytes.toString() : latin1
}

const BEYOND_ASCII = /[^\0-\x7f]/
