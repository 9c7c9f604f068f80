import { isUtf8 } from 'node:buffer'
import fc, { type Arbitrary } from 'fast-check'

/** Bytes of any kind, up to a size. */
export function someBytes(maxLength: number): Arbitrary<Buffer> {
  return fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes))
}

/** Bytes that are no UTF-8: what a text would replace. */
export function nonTextBytes(maxLength: number): Arbitrary<Buffer> {
  return fc
    .tuple(fc.uint8Array({ maxLength: maxLength - 1 }), fc.constantFrom(0x80, 0xbf, 0xc0, 0xf5, 0xff))
    .map(([bytes, end]) => Buffer.from([...bytes, end]))
    .filter((bytes) => !isUtf8(bytes))
}

/** UTF-8 that breaks off within a character, surrogates in UTF-8, overlong forms. */
export function invalidUtf8(): Arbitrary<Buffer> {
  return fc
    .tuple(fc.string({ maxLength: 10 }), fc.constantFrom('e282', 'f09f98', 'eda080', 'c080', 'f4908080', 'fe'))
    .map(([text, hex]) => Buffer.concat([Buffer.from(text), Buffer.from(hex, 'hex')]))
}

/** Names that foreign clients give headers: usual ones, odd ones, those that mean something to JavaScript. */
export function headerNames(): Arbitrary<string> {
  return fc.oneof(
    { weight: 4, arbitrary: fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/).filter((name) => !isReserved(name)) },
    fc.constantFrom('__proto__', 'constructor', 'toString', 'Größe', 'UPPER', 'with space', 'a:b', '😀'),
  )
}

/** Header values that are text: any characters, empty, long. */
export function headerTexts(): Arbitrary<string> {
  return fc.oneof(
    { weight: 4, arbitrary: fc.string({ unit: 'grapheme', maxLength: 40 }) },
    fc.constantFrom('', '\u0000', 'line\r\nbreak', '\ufffd', '\ufeffmark', 'x'.repeat(1_000)),
  )
}

/** Milliseconds since the epoch: around now, the ends of what counters and `Date` hold. */
export function timestamps(): Arbitrary<number> {
  return fc.oneof(
    fc.integer({ min: 1_600_000_000_000, max: 1_800_000_000_000 }),
    fc.constantFrom(0, 1, 2 ** 31 - 1, 2 ** 32, 253_402_300_799_999, 8_640_000_000_000_000),
  )
}

/** How many of some messages are of a kind, in percent. */
export interface ShareOfKind {
  readonly kind: string
  readonly percent: number
}

/** The shares of kinds, in the given order. A message may be of several. */
export function sharesOf(messages: readonly { readonly kinds: readonly string[] }[], kinds: readonly string[]) {
  return kinds.map((kind): ShareOfKind => {
    const count = messages.filter((message) => message.kinds.includes(kind)).length
    return { kind, percent: Math.round((count / messages.length) * 1_000) / 10 }
  })
}

function isReserved(name: string): boolean {
  return name.startsWith('streamswitch-')
}
