/**
 * Control characters of ASCII and Latin-1, line separators, and the marks that reorder what a terminal shows:
 * characters that could forge a log line, move the cursor or hide a part of the message.
 */
const UNPRINTABLE = /[\p{Cc}\p{Surrogate}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/**
 * Returns the string on one line, with every unprintable character replaced by its escape (`\n`, `\u001b`). Returns the
 * same string when there is none.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => SHORT[character] ?? escaped(character))
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
