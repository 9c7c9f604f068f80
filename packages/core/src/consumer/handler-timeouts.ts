import type { StreamError } from '../errors.js'
import { everyInStep } from '../time.js'
import type { ConsumerReports } from './consumer-reports.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { Dispatcher } from './dispatcher.js'
import type { PartitionState } from './partition-state.js'

export interface HandlerTimeoutsSettings {
  readonly handlerTimeoutMs: number
  readonly handlerGraceMs: number
  readonly reports: ConsumerReports
  readonly partitions: { all(): Iterable<PartitionState> }
  readonly outcomes: HandlerTimeoutsHost
}

export interface HandlerTimeoutsHost {
  readonly dispatcher: Dispatcher
  /** A handler was abandoned. The error policy applies if its message isn't settled. */
  leftBehind(delivery: Delivery, partition: PartitionState, error: StreamError): void
}

/**
 * Limits how long handlers take, with one timer for all of them: the signal of an overdue handler is aborted, and a
 * handler that ignores it is abandoned after the grace period.
 */
export class HandlerTimeouts {
  readonly #settings: HandlerTimeoutsSettings
  readonly #tickMs: number
  #end: (() => void) | undefined

  constructor(settings: HandlerTimeoutsSettings) {
    this.#settings = settings
    this.#tickMs = Math.min(1_000, Math.max(5, Math.floor(settings.handlerTimeoutMs / 20)))
  }

  start(): void {
    this.#settings.outcomes.dispatcher.isolation.begin()
    this.#end ??= everyInStep(this.#tickMs, () => this.#sweep(), true)
  }

  stop(): void {
    this.#end?.()
    this.#end = undefined
  }

  #sweep(): void {
    const { handlerTimeoutMs, handlerGraceMs, partitions, outcomes } = this.#settings
    const { dispatcher } = outcomes
    dispatcher.tick += 1
    dispatcher.isolation.tick()
    const overdue = dispatcher.tick - Math.ceil(handlerTimeoutMs / this.#tickMs)
    const hopeless = overdue - Math.ceil(handlerGraceMs / this.#tickMs) - 1
    for (const partition of partitions.all()) {
      const late =
        partition.running === 0 ? [] : [...partition.handling()].filter(({ startedTick }) => startedTick <= overdue)
      for (const delivery of late) {
        if (!delivery.timedOut) this.#timeOut(delivery, handlerTimeoutMs)
        else if (delivery.startedTick <= hopeless) this.#leaveBehind(delivery, partition)
      }
    }
  }

  #timeOut(delivery: Delivery, handlerTimeoutMs: number): void {
    delivery.timedOut = true
    delivery.abort(
      this.#error(`the handler of message ${delivery.id} took longer than ${handlerTimeoutMs} ms (handlerTimeoutMs)`),
    )
  }

  #leaveBehind(delivery: Delivery, partition: PartitionState): void {
    const { outcomes } = this.#settings
    const error = this.#error(
      `the handler of message ${delivery.id} did not stop after its abort signal and was abandoned; it may overlap with a retry`,
    )
    const unsettled = delivery.state === DeliveryState.Running
    outcomes.dispatcher.leaveBehind(delivery, partition)
    outcomes.leftBehind(delivery, partition, error)
    if (!unsettled) outcomes.dispatcher.release(delivery, partition)
  }

  #error(message: string): StreamError {
    return this.#settings.reports.error('TIMEOUT', message, 'handle')
  }
}
