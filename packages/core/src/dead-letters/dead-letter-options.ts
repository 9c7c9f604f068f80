import { option } from '../options/fields.js'
import type { DeadLetter } from './dead-letter.js'

type LetterTest = (letter: DeadLetter) => boolean

/** Options of `transport.deadLetters`. */
export const deadLetterFields = {
  /** The group whose dead letters to read. */
  group: option.text(),
  /** The native name of the original topic (the loops' `nativeName`), if the transport's `topics` don't set it. */
  nativeName: option.text(),
  /** The native name of the group (the loops' `nativeGroup`), if the transport's `groups` don't set it. */
  nativeGroup: option.text(),
  /**
   * The topic that holds the dead letters, if the group's loops set one (`deadLetter: { topic }`). Default:
   * `<topic>.<group>.dlq`.
   */
  topic: option.text(),
  /**
   * Maximum time for connecting, and for each wait for the broker, in milliseconds.
   * @default 15000 (15 s)
   */
  timeoutMs: option.integer({ default: 15_000, min: 1, max: 2_147_483_647 }),
}

/** Options of a list. */
export const listFields = {
  /**
   * Maximum number of dead letters on a page.
   * @default 100
   */
  limit: option.integer({ default: 100, min: 1, max: 10_000 }),
  /** Cursor of the previous page. */
  cursor: option.text(),
  /** Returns true for the dead letters to list. */
  where: option.custom<LetterTest>('function', checkTest),
}

/** Dead letters to replay or discard: exactly one of these. */
export const selectionFields = {
  /** Dead letters with these message ids. */
  ids: option.texts(),
  /** Dead letters for which it returns true. */
  where: option.custom<LetterTest>('function', checkTest),
  /** All dead letters. */
  all: option.flag(),
}

function checkTest(raw: unknown): { readonly value: LetterTest } | string {
  return typeof raw === 'function' ? { value: raw as LetterTest } : 'must be a function of the dead letter'
}
