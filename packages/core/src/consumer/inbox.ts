import type { Delivery } from './delivery.js'
import type { PartitionLimits, PartitionState } from './partition-state.js'

export interface InboxLimits extends PartitionLimits {
  readonly maxInboxBytes: number
}

/** Limits what a loop holds: messages per partition, and bytes in total. Beyond it, drivers wait for room. */
export class Inbox {
  readonly #limits: InboxLimits
  bytes = 0

  constructor(limits: InboxLimits) {
    this.#limits = limits
  }

  add(partition: PartitionState, deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) {
      delivery.partitionState = partition
      partition.inbox.push(delivery)
      partition.tracked.push(delivery)
      delivery.counted = true
      this.bytes += delivery.size
    }
  }

  /** A delivery is settled or given up. Further calls for the same one have no effect. */
  remove(delivery: Delivery): void {
    if (!delivery.counted) return
    delivery.counted = false
    this.bytes -= delivery.size
  }

  /** How many more deliveries of the partition fit. */
  capacity(partition: PartitionState): number {
    // A partition that holds all the bytes must not starve the others forever.
    if (this.bytes >= this.#limits.maxInboxBytes && partition.tracked.length > 0) return 0
    return partition.capacity(this.#limits)
  }

  /** True when the partition is full of messages that wait behind unsettled ones. */
  isStalled(partition: PartitionState): boolean {
    return partition.tracked.length >= this.#limits.maxAheadMessages
  }

  /**
   * Lets the partition's driver continue once half of the room is free, so that it doesn't fetch tiny batches. True
   * when that ends a reported full window.
   */
  wakeIfRoom(partition: PartitionState): boolean {
    const { prefetch, maxAheadMessages, maxInboxBytes } = this.#limits
    const bytesFit = this.bytes <= maxInboxBytes / 2 || partition.tracked.length === 0
    const windowFits = partition.tracked.length <= maxAheadMessages - Math.min(prefetch, maxAheadMessages) / 2
    if (!bytesFit || !windowFits || partition.inbox.length > prefetch / 2) return false
    const wasTold = partition.pausedReported
    partition.pausedReported = false
    partition.wakeRoomWaiters()
    return wasTold
  }
}
