import { backoffDelayMs, RECONNECT_BACKOFF } from '../backoff.js'
import type { ConsumerDriver } from '../contract/consumer-driver.js'
import { StreamError } from '../errors.js'
import { nextTurn, wait } from '../time.js'
import { rejectAckWaiters, resolveAckWaiters } from './ack-waiters.js'
import type { ConsumerReports } from './consumer-reports.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { DriverSlot } from './driver-slot.js'
import type { PartitionState } from './partition-state.js'

/** What the settler reports about the messages that it settles. */
export interface SettlerHost {
  /**
   * The driver has processed the ack of a message whose claim it was to complete. True when the claim was refused: the
   * message is not settled after all.
   */
  refused(delivery: Delivery, partition: PartitionState): boolean
  /** The ack of a message can't be sent any more. */
  unsettled(delivery: Delivery): void
}

/**
 * Passes finished messages to the driver, coalesced: one ack or commit of a partition at a time, further ones are
 * gathered meanwhile.
 */
export class Settler {
  readonly #slot: DriverSlot
  readonly #reports: ConsumerReports
  readonly #host: SettlerHost
  readonly #dirty = new Set<PartitionState>()
  readonly #flushing = new Map<PartitionState, Promise<void>>()
  readonly #onTheirWay = new Map<PartitionState, readonly Delivery[]>()
  #scheduled = false
  #timer: NodeJS.Timeout | undefined

  constructor(slot: DriverSlot, reports: ConsumerReports, host: SettlerHost) {
    this.#slot = slot
    this.#reports = reports
    this.#host = host
  }

  /** The partition has something to settle. */
  touch(partition: PartitionState): void {
    if (this.#dirty.has(partition)) return
    this.#dirty.add(partition)
    if (this.#scheduled) return
    this.#scheduled = true
    const run = (): void => {
      this.#scheduled = false
      this.#timer = undefined
      const dirty = [...this.#dirty]
      // Cleared before flushing: a partition whose flush is still in flight must be able to become dirty again when it
      // ends.
      this.#dirty.clear()
      for (const one of dirty) void this.#flush(one)
    }
    const interval = this.#slot.driver?.settleIntervalMs ?? 0
    if (interval === 0) nextTurn(run)
    else this.#timer = setTimeout(run, interval)
  }

  /** Messages whose acks were sent and are unanswered. */
  onTheirWay(partition: PartitionState): readonly Delivery[] {
    return this.#onTheirWay.get(partition) ?? []
  }

  /** Resolves when everything done in the partition so far is settled, or the partition is closed. */
  async drain(partition: PartitionState): Promise<void> {
    while (this.#flushing.has(partition) || this.#pending(partition)) {
      await (this.#flushing.get(partition) ?? this.#flush(partition))
    }
  }

  /** Rejects the pending acks of a partition that was revoked. */
  discard(partition: PartitionState, error: StreamError): void {
    this.#dirty.delete(partition)
    if (this.#dirty.size === 0 && this.#timer !== undefined) {
      clearTimeout(this.#timer)
      this.#timer = undefined
      this.#scheduled = false
    }
    const done = partition.done
    partition.done = []
    // Messages blocked by an earlier one are done as well, and their acks were never sent. Acks in flight still get an
    // answer.
    const found = new Set(done)
    const onTheirWay = new Set(this.#onTheirWay.get(partition))
    for (const delivery of partition.tracked)
      if (delivery.state === DeliveryState.Settled && !onTheirWay.has(delivery)) found.add(delivery)
    this.#giveUp([...found], error)
  }

  /** They are done, and their acks can't be sent any more: pending and later `ack()` calls reject. */
  #giveUp(deliveries: readonly Delivery[], error: StreamError): void {
    for (const delivery of deliveries) {
      this.#host.unsettled(delivery)
      delivery.state = DeliveryState.Dropped
      rejectAckWaiters(delivery, error)
    }
  }

  /**
   * There is something to settle, and a driver to do it. Without a driver the partition is lost, and about to be
   * discarded.
   */
  #pending(partition: PartitionState): boolean {
    return partition.done.length > 0 && partition.phase !== 'closed' && this.#slot.driver !== undefined
  }

  #flush(partition: PartitionState): Promise<void> {
    const running = this.#flushing.get(partition)
    if (running !== undefined) return running
    this.#dirty.delete(partition)
    const flush = this.#settle(partition).finally(() => {
      this.#flushing.delete(partition)
      if (this.#pending(partition)) this.touch(partition)
    })
    this.#flushing.set(partition, flush)
    return flush
  }

  async #settle(partition: PartitionState): Promise<void> {
    for (let attempt = 1; partition.phase !== 'closed'; attempt += 1) {
      const driver = this.#slot.driver
      const work = takeWork(partition, driver)
      if (work === undefined || driver === undefined) return
      try {
        this.#onTheirWay.set(partition, work.deliveries)
        await work.run(driver).finally(() => this.#onTheirWay.delete(partition))
        let refused = 0
        for (const delivery of work.deliveries) {
          if (delivery.claim !== undefined && this.#host.refused(delivery, partition)) refused += 1
          else acked(delivery)
        }
        this.#reports.counts.acked += work.deliveries.length - refused
        return
      } catch (cause) {
        const error = this.#reports.classify(cause, 'ack')
        if (isClosed(partition)) return this.#giveUp(work.deliveries, error)
        this.#reports.settleFailed(partition, error)
        if (!error.retryable) return this.#giveUp(work.deliveries, error)
        partition.done = [...work.deliveries, ...partition.done]
        await wait(backoffDelayMs(RECONNECT_BACKOFF, attempt), partition.over.signal).catch(() => {})
      }
    }
  }
}

interface Work {
  readonly deliveries: Delivery[]
  run(driver: ConsumerDriver): Promise<void>
}

/** Returns what can be settled now. */
function takeWork(partition: PartitionState, driver: ConsumerDriver | undefined): Work | undefined {
  if (driver === undefined || partition.done.length === 0) return undefined
  const deliveries = partition.done
  partition.done = []
  if (driver.settlement === 'individual') {
    return { deliveries, run: (one) => one.ack?.(partition.assignment, deliveries) ?? Promise.resolve() }
  }
  const last = deliveries.at(-1)
  if (last === undefined) return undefined
  return { deliveries, run: (one) => one.commit?.(partition.assignment, last) ?? Promise.resolve() }
}

function isClosed(partition: PartitionState): boolean {
  return partition.phase === 'closed'
}

/** The errors of revoked partitions: one each, so that it is reported once. */
const GONE = new WeakMap<PartitionState, StreamError>()

/** Returns the error of an ack whose partition was revoked. */
export function goneError(partition: PartitionState): StreamError {
  const known = GONE.get(partition)
  if (known !== undefined) return known
  const { topic, partition: number } = partition.assignment
  const error = new StreamError(
    `partition ${number} of '${topic}' was revoked before the message was settled: it will be handled again`,
    { code: 'ABORTED', retryable: false, topic, operation: 'ack' },
  )
  GONE.set(partition, error)
  return error
}

function acked(delivery: Delivery): void {
  delivery.state = DeliveryState.Acked
  resolveAckWaiters(delivery)
}
