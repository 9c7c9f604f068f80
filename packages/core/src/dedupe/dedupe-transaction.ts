import { StreamError } from '../errors.js'
import type { Message } from '../message.js'
import type { DedupeMark } from './dedupe-store.js'

/**
 * Runs one handling within a transaction of the user's database. It must 1. begin a transaction and insert the mark
 * into a table where topic, group and id are unique together, 2. if the mark is new, call `work` with the transaction,
 * once, and await the result; if it exists, not call it, 3. commit after that, or roll back and throw what `work`
 * threw.
 * A failure before `work` was called doesn't count as an attempt: it is an `error` event, and the message is started
 * again later (a non-retryable `StreamError` except CONFLICT ends the loop).
 * If two transactions insert the same mark at once, the database makes one wait until the other has committed or rolled
 * back, or fails it.
 */
export type RunInTransaction<Transaction> = (mark: DedupeMark, work: (transaction: Transaction) => unknown) => unknown

const DEDUPE_TRANSACTION = Symbol.for('streamswitch.DedupeTransaction')

/**
 * Commits a handler's writes, and the mark that its message is done, in one transaction of the user's own database, so
 * that neither is stored without the other: `dedupe: { transaction }`. May be shared by any number of loops.
 *
 * @typeParam Transaction - the transaction type of the database's client: a `pg` client, a `better-sqlite3` database.
 */
export class DedupeTransaction<Transaction = unknown> {
  readonly run: RunInTransaction<Transaction>
  readonly #current = new WeakMap<object, { readonly transaction: Transaction }>()
  readonly [DEDUPE_TRANSACTION] = true

  /** @param run - see {@link RunInTransaction}. Throws INVALID_ARGUMENT when it is not a function. */
  constructor(run: RunInTransaction<Transaction>) {
    if (typeof run !== 'function') throw misuse('needs a function of the mark and the work to do', undefined)
    this.run = run
  }

  /**
   * Returns the transaction in which this message is being handled. Throws INVALID_ARGUMENT outside of its handler.
   */
  of(message: Message): Transaction {
    const current = this.#current.get(message)
    if (current === undefined)
      throw misuse(`has no transaction open for message ${message.id}: the loop needs dedupe: { transaction }`, message)
    return current.transaction
  }

  /** @internal */
  begin(message: Message, transaction: Transaction): void {
    this.#current.set(message, { transaction })
  }

  /** @internal */
  end(message: Message): void {
    this.#current.delete(message)
  }
}

/** True for a {@link DedupeTransaction}, also one from another installed copy of `@streamswitch/core`. */
export function isDedupeTransaction(value: unknown): value is DedupeTransaction {
  return typeof value === 'object' && value !== null && DEDUPE_TRANSACTION in value
}

/** Returns the error for a transaction that is used incorrectly. */
export function misuse(what: string, message: Message | undefined): StreamError {
  return new StreamError(`the dedupe transaction ${what}`, {
    code: 'INVALID_ARGUMENT',
    topic: message?.topic,
    operation: 'dedupe',
  })
}
