import type { Delivery } from './delivery.js'
import type { PartitionLimits, PartitionState } from './partition-state.js'

export interface InboxLimits extends PartitionLimits {
  readonly maxInboxBytes: number
}

/** The bound on what a loop holds: messages per partition, and bytes over all of them. Drivers wait for room beyond it. */
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

  /** A delivery is settled or given up. Later calls for the same one change nothing. */
  remove(delivery: Delivery): void {
    if (!delivery.counted) return
    delivery.counted = false
    this.bytes -= delivery.size
  }

  /** How many more deliveries of the partition fit now. */
  capacity(partition: PartitionState): number {
    // One partition that holds all the bytes must not starve the others for ever.
    if (this.bytes >= this.#limits.maxInboxBytes && partition.tracked.length > 0) return 0
    return partition.capacity(this.#limits)
  }

  /** True where the partition is full of messages that wait behind unsettled ones. */
  isStalled(partition: PartitionState): boolean {
    return partition.tracked.length >= this.#limits.maxAheadMessages
  }

  /** Lets the partition's driver go on once half of the room is free, so that it doesn't fetch crumbs. True where that ends a full window that was told. */
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
