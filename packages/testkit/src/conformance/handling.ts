import type { Handler, Headers, Message } from '@streamswitch/core'
import type { HandledMessage } from '../ledger/check-history.js'
import type { Watch } from './collect.js'

/** One start of a handler: what the message looked like then, and how it ended. */
export interface Handling extends HandledMessage {
  readonly member: string
  /** Not enumerable: it leads to the whole transport, which no failed comparison should try to print. */
  readonly message: Message
  readonly topic: string
  readonly group: string
  readonly value: unknown
  readonly bytes: Buffer | undefined
  readonly headers: Headers
  readonly timestamp: number
  readonly attempt: number
  readonly partition: number
  readonly offset: string
}

interface OpenHandling extends Handling {
  endedAt: number | undefined
  outcome: Handling['outcome']
  abandoned: boolean
}

/** Who handles, for the record. */
export interface HandlerPlace {
  readonly member: string
  readonly group: string
}

/** Every handler start of one test, over all members and groups, in the order of the starts, on one clock. */
export class Journal {
  readonly #watch: Watch
  readonly #all: OpenHandling[] = []
  #clock = 0

  constructor(watch: Watch) {
    this.#watch = watch
  }

  get all(): readonly Handling[] {
    return this.#all
  }

  /** A handler that notes its start and its end, and does what `handler` does in between. */
  record(place: HandlerPlace, handler: Handler): Handler {
    return (message) => {
      const handling = this.#start(place, message)
      const failed = (error: unknown): never => {
        this.#end(handling, 'failed')
        throw error
      }
      const succeeded = (result: unknown): unknown => {
        this.#end(handling, 'succeeded')
        return result
      }
      let result: unknown
      try {
        result = handler(message)
      } catch (error) {
        return failed(error)
      }
      // What returns at once stays so: loops treat it differently from a promise.
      return result instanceof Promise ? result.then(succeeded, failed) : succeeded(result)
    }
  }

  #start(place: HandlerPlace, message: Message): OpenHandling {
    this.#clock += 1
    const { id, topic, key, value, bytes, headers, timestamp, attempt, partition, offset } = message
    const snapshot = { id, topic, key, value, bytes, headers, timestamp, attempt, partition, offset }
    const facts = {
      ...place,
      ...snapshot,
      startedAt: this.#clock,
      endedAt: undefined,
      outcome: 'running',
      abandoned: false,
    } as const
    const handling: OpenHandling = Object.defineProperty({ ...facts, message }, 'message', { enumerable: false })
    this.#all.push(handling)
    this.#watch.changed()
    return handling
  }

  #end(handling: OpenHandling, outcome: 'succeeded' | 'failed'): void {
    this.#clock += 1
    handling.endedAt = this.#clock
    handling.outcome = outcome
    handling.abandoned = handling.message.signal.aborted
    this.#watch.changed()
  }
}
