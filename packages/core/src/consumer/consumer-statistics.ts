import type { Dedupe } from '../dedupe/dedupe.js'
import type { AssignedPartitions } from './assigned-partitions.js'
import type { ConsumerStats } from './consumer-events.js'
import type { ConsumerReports } from './consumer-reports.js'
import type { Dispatcher } from './dispatcher.js'
import type { Inbox } from './inbox.js'
import type { PartitionState } from './partition-state.js'
import type { StallWatch } from './stall-watch.js'
import type { StoppedPartitions } from './stopped-partitions.js'
import type { UnackedWatch } from './unacked-watch.js'

/** The components of a loop that provide its statistics. */
export interface StatisticsSources {
  readonly reports: Pick<ConsumerReports, 'counts'>
  readonly partitions: Pick<AssignedPartitions, 'all'>
  readonly dispatcher: Pick<Dispatcher, 'running' | 'started' | 'hasRoom'>
  readonly inbox: Inbox
  readonly stallWatch: Pick<StallWatch, 'current'>
  readonly stopped: Pick<StoppedPartitions, 'list'>
  readonly unackedWatch: Pick<UnackedWatch, 'count'>
  readonly session: { readonly driver: object | undefined; readonly reconnects: number }
  readonly dedupe: Pick<Dedupe, 'counts'> | undefined
}

const NO_DUPLICATES = { deduplicated: 0, conflicts: 0 }

/** Returns the statistics of a loop. Computed on request: only the counters have a cost before. */
export function consumerStatistics(sources: StatisticsSources): ConsumerStats {
  const { reports, dispatcher, inbox, session, dedupe } = sources
  const stall = sources.stallWatch.current
  const partitions = [...sources.partitions.all()]
  const sum = (of: (partition: PartitionState) => number): number =>
    partitions.reduce((total, partition) => total + of(partition), 0)
  return {
    ...reports.counts,
    ...(dedupe?.counts ?? NO_DUPLICATES),
    running: dispatcher.running,
    waiting: sum((partition) => partition.inbox.length),
    unsettled: sum((partition) => partition.tracked.length),
    inboxBytes: inbox.bytes,
    unacked: sources.unackedWatch.count,
    partitions: partitions.length,
    stoppedPartitions: sources.stopped.list(),
    reconnects: session.reconnects,
    connected: session.driver !== undefined,
    stalled: stall !== undefined,
    stalledSince: stall?.since,
    stallReason: stall?.reason,
    heldUpBy: stall === undefined ? heldUpBy(partitions, sources) : 'transport',
  }
}

/** Returns what keeps messages from being started on this side of the transport. */
function heldUpBy(
  partitions: readonly PartitionState[],
  { dispatcher, inbox }: StatisticsSources,
): ConsumerStats['heldUpBy'] {
  if (!dispatcher.started) return 'paused'
  if (partitions.some((partition) => inbox.isStalled(partition))) return 'window'
  const waiting = partitions.some((partition) => partition.inbox.length > 0)
  return waiting && !dispatcher.hasRoom ? 'handlers' : undefined
}
