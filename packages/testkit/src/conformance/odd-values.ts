/** Bodies that some layer might change: bytes that are no text, line ends, nothing, a lot. */
export const BODIES: Readonly<Record<string, Buffer>> = {
  'every-byte': Buffer.from(Array.from({ length: 256 }, (_, value) => value)),
  'every-byte-backwards': Buffer.from(Array.from({ length: 256 }, (_, value) => 255 - value)),
  empty: Buffer.alloc(0),
  'single-zero': Buffer.from([0]),
  'single-space': Buffer.from(' '),
  'line-ends': Buffer.from('\r\n\r\n\n\r'),
  'no-utf-8': Buffer.from([0xc3, 0x28, 0xff, 0xfe, 0xed, 0xa0, 0x80]),
  'byte-order-mark': Buffer.from([0xef, 0xbb, 0xbf, 0x41]),
  'looks-compressed': Buffer.from([0x1f, 0x8b, 0x08, 0x00, 0x00]),
  'fifty-kilobytes': Buffer.alloc(50_000, Buffer.from(Array.from({ length: 251 }, (_, value) => value))),
}

/** Texts that are well-formed and hard to carry: what a protocol uses as a separator, what its encoding can't say directly. */
const ODD_TEXTS: readonly string[] = [
  '',
  ' ',
  ' leading and trailing ',
  '0',
  'null',
  'true',
  '"quoted" and \'single\'',
  'back\\slash',
  'line\nfeed',
  'carriage\r\nreturn',
  '\ttab',
  'zero\u0000byte',
  'colon: semicolon; comma, equals=',
  '100% %20 %zz +plus',
  'a/b/../c?d#e&f',
  'é ü ß ñ',
  '日本語',
  '🦉 🏳️‍🌈',
  '\u2028\u2029\ufeff',
  '=?utf-8?q?encoded?=',
  '\u007f\u0085\u009f',
]

export const KEYS: readonly string[] = [...ODD_TEXTS, 'k'.repeat(1024), '🦉'.repeat(256)]

export const HEADER_VALUES: readonly string[] = [...ODD_TEXTS, 'v'.repeat(8_000), 'é'.repeat(2_000)]

/** Names in other letter case than protocols like, names that protocols or JavaScript use themselves, and odd ones. */
export const HEADER_NAMES: readonly string[] = [
  'plain',
  'Mixed-Case',
  'UPPER',
  'id',
  'key',
  'value',
  'headers',
  'timestamp',
  'payload',
  'partition',
  'attempt',
  'content-type',
  'content-length',
  'Host',
  'connection',
  'transfer-encoding',
  'x-stream-offset',
  'traceparent',
  '__proto__',
  'constructor',
  'toString',
  '1',
  'with space',
  'with:colon',
  'with"quote',
  'with%percent',
  'é',
  '🦉',
  'n'.repeat(256),
]

export const IDS: readonly string[] = [
  '1',
  'plain-id',
  'with space',
  'a/b?c=d',
  'é 🦉',
  '"quoted"',
  '100%',
  'a:b,c;d',
  'i'.repeat(256),
  '__proto__',
]
