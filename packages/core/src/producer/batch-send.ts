import { BatchError, type BatchFailure, type StreamError, type StreamErrorOptions } from '../errors.js'
import type { PendingRecord, RecordOwner, SendReceipt } from './pending-record.js'

/** Gathers the outcomes of one `sendBatch`. */
export class BatchSend implements RecordOwner {
  readonly #receipts: SendReceipt[]
  readonly #failures: BatchFailure[] = []
  readonly #receipt: (record: PendingRecord) => SendReceipt
  readonly #context: Omit<StreamErrorOptions, 'code' | 'cause'>
  #open: number
  #resolve: (receipts: SendReceipt[]) => void = () => {}
  #reject: (error: BatchError) => void = () => {}
  /** Resolves with a receipt per value, in order; rejects with a {@link BatchError} once every record has its outcome. */
  readonly outcome: Promise<SendReceipt[]>

  constructor(
    total: number,
    receipt: (record: PendingRecord) => SendReceipt,
    context: Omit<StreamErrorOptions, 'code' | 'cause'>,
  ) {
    this.#receipts = new Array<SendReceipt>(total)
    this.#open = total
    this.#receipt = receipt
    this.#context = context
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    if (total === 0) this.#resolve([])
  }

  accepted(record: PendingRecord): void {
    this.succeed(record.index, this.#receipt(record))
  }

  succeed(index: number, receipt: SendReceipt): void {
    this.#receipts[index] = receipt
    this.#count()
  }

  failed(record: PendingRecord, error: StreamError): void {
    this.fail(record.index, error)
  }

  /** The value could not be encoded. */
  fail(index: number, error: StreamError): void {
    this.#failures.push({ index, error })
    this.#count()
  }

  #count(): void {
    this.#open -= 1
    if (this.#open > 0) return
    if (this.#failures.length === 0) return this.#resolve(this.#receipts)
    this.#failures.sort((left, right) => left.index - right.index)
    this.#reject(new BatchError(this.#failures, this.#receipts.length, this.#context))
  }
}
