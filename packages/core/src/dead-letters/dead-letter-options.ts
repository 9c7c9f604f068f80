import { option } from '../options/fields.js'
import type { DeadLetter } from './dead-letter.js'

type LetterTest = (letter: DeadLetter) => boolean

/** Options of `transport.deadLetters`. */
export const deadLetterFields = {
  /** The group whose dead letters they are. */
  group: option.text(),
  /** The native name that the loops give the topic of the originals (`nativeName`), where the transport's `topics` don't. */
  nativeName: option.text(),
  /** The native name that the loops give the group (`nativeGroup`), where the transport's `groups` don't. */
  nativeGroup: option.text(),
  /** The topic that holds them, where the group's loops name one (`deadLetter: { topic }`). Left out: `<topic>.<group>.dlq`. */
  topic: option.text(),
  /**
   * Time for connecting, and for each wait for something that should come, in milliseconds.
   * @default 15000 (15 s)
   */
  timeoutMs: option.integer({ default: 15_000, min: 1, max: 2_147_483_647 }),
}

/** Options of a list. */
export const listFields = {
  /**
   * Most letters of a page.
   * @default 100
   */
  limit: option.integer({ default: 100, min: 1, max: 10_000 }),
  /** Where the page before ended. */
  cursor: option.text(),
  /** Which ones to list. */
  where: option.custom<LetterTest>('function', checkTest),
}

/** Which dead letters to replay or discard: exactly one of them. */
export const selectionFields = {
  /** Those of these messages. */
  ids: option.texts(),
  /** Those for which it returns true. */
  where: option.custom<LetterTest>('function', checkTest),
  /** Every one. */
  all: option.flag(),
}

function checkTest(raw: unknown): { readonly value: LetterTest } | string {
  return typeof raw === 'function' ? { value: raw as LetterTest } : 'must be a function of the dead letter'
}
