import type { StreamError } from '../errors.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { Dispatcher } from './dispatcher.js'
import type { PartitionState } from './partition-state.js'

export interface HandlerTimeoutsHost {
  readonly dispatcher: Dispatcher
  readonly handlerTimeoutMs: number
  readonly handlerGraceMs: number
  partitions(): Iterable<PartitionState>
  timeoutError(message: string): StreamError
  /** A handler was given up on. The error policy decides on its message where that isn't settled. */
  leftBehind(delivery: Delivery, partition: PartitionState, error: StreamError): void
}

/**
 * Watches how long handlers take, by one timer for all of them: a handler over its time gets its signal aborted, and one that
 * ignores it is left behind after the grace period.
 */
export class HandlerTimeouts {
  readonly #host: HandlerTimeoutsHost
  readonly #tickMs: number
  #timer: NodeJS.Timeout | undefined

  constructor(host: HandlerTimeoutsHost, handlerTimeoutMs: number) {
    this.#host = host
    this.#tickMs = Math.min(1_000, Math.max(5, Math.floor(handlerTimeoutMs / 20)))
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#sweep(), this.#tickMs)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #sweep(): void {
    const { dispatcher, handlerTimeoutMs, handlerGraceMs } = this.#host
    dispatcher.tick += 1
    const overdue = dispatcher.tick - Math.ceil(handlerTimeoutMs / this.#tickMs)
    const hopeless = overdue - Math.ceil(handlerGraceMs / this.#tickMs) - 1
    for (const partition of this.#host.partitions()) {
      const late =
        partition.running === 0
          ? []
          : [...partition.tracked].filter((delivery) => delivery.handling && delivery.startedTick <= overdue)
      for (const delivery of late) {
        if (!delivery.timedOut) this.#timeOut(delivery, handlerTimeoutMs)
        else if (delivery.startedTick <= hopeless) this.#leaveBehind(delivery, partition)
      }
    }
  }

  #timeOut(delivery: Delivery, handlerTimeoutMs: number): void {
    delivery.timedOut = true
    delivery.abort(
      this.#host.timeoutError(
        `the handler of message ${delivery.id} took longer than ${handlerTimeoutMs} ms (handlerTimeoutMs)`,
      ),
    )
  }

  #leaveBehind(delivery: Delivery, partition: PartitionState): void {
    const error = this.#host.timeoutError(
      `the handler of message ${delivery.id} ignored its abort signal and is left behind; whatever it still does overlaps with other starts`,
    )
    const unsettled = delivery.state === DeliveryState.Running
    this.#host.dispatcher.leaveBehind(delivery, partition)
    this.#host.leftBehind(delivery, partition, error)
    if (!unsettled) this.#host.dispatcher.release(delivery, partition)
  }
}
