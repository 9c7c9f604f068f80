import type { MeasuredFetch } from '@streamswitch/core/driver'
import { correctBatch } from './fetched-batch.js'
import {
  type Cluster,
  type Connection,
  type ConsumerGroup,
  clusterPrototype,
  connectionPrototype,
  consumerGroupPrototype,
  type FetchedMessages,
  type ProduceProtocol,
  produceProtocol,
  type RequestQueue,
  requestQueuePrototype,
} from './kafkajs-internals.js'
import { onceLoaded } from './once-ready.js'
import { isOurs, produceRequest } from './produce-request.js'

/**
 * What is wrong in kafkajs 2.2.4 and put right here, each with its defect. Applied once per loaded kafkajs; consumers without
 * {@link GroupHooks} (a user's own, in the same process) behave as before.
 */

/** What a membership does at the points that kafkajs has no public way for. */
export interface GroupHooks {
  /** Changes whenever what was fetched before must not be used any more. */
  readonly fetchStamp: number
  /** Awaited before the member joins or rejoins: the old generation is still valid, its commits are accepted. */
  beforeJoin(group: ConsumerGroup): Promise<void>
  /** Awaited after the member got its partitions and before the first fetch of the new generation. */
  afterJoin(group: ConsumerGroup): Promise<void>
  /** A fetch is asked for now; told how it ended. */
  fetching(): MeasuredFetch
  /** Takes note of which stamp batches were fetched under. */
  fetched(batches: readonly FetchedMessages[], stamp: number): void
  /** Awaited in place of kafkajs's silent reset. */
  outOfRange(topic: string, partition: number): Promise<void>
}

/** Where a partition assigner carries the hooks of its consumer: assigners are all that a consumer group gets from the outside. */
export const GROUP_HOOKS = Symbol('streamswitch.kafka.hooks')

const PATCHED = Symbol.for('streamswitch.kafka.patched')

/** The highest version that kafkajs knows, and every broker since 2.1 takes. */
const FAST_PRODUCE_VERSION = 7

/** How soon a queue that waits for room is looked at again, in milliseconds: kafkajs's own value. */
const CHECK_INTERVAL_MS = 10

/** Applies all patches. Later calls do nothing. */
export function applyKafkajsPatches(): void {
  patchOnce(connectionPrototype, patchReconnecting)
  patchOnce(requestQueuePrototype, patchRequestQueueTimers)
  patchOnce(consumerGroupPrototype, patchConsumerGroup)
  patchOnce(produceProtocol, patchProduceEncoding)
  patchOnce(clusterPrototype, patchCoordinatorSearch)
}

/** Bytes of the length that each response begins with. */
const LENGTH_BYTES = 4

/**
 * Defect: a connection that connects again keeps what had arrived of a response when it was cut, and reads the new connection's
 * bytes as its rest. What follows is read from the wrong place, and a read beyond the end throws where nobody catches it: the process ends.
 */
function patchReconnecting(prototype: Connection): void {
  const { connect } = prototype
  prototype.connect = function (this: Connection): Promise<unknown> {
    if (!this.isConnected()) {
      this.chunks = []
      this.bytesBuffered = 0
      this.bytesNeeded = LENGTH_BYTES
    }
    return connect.call(this)
  }
}

/**
 * Defect: `scheduleCheckPendingRequests` sets a timer although no request is pending, for `throttledUntil - now`, which is far
 * below zero without throttling; the callback calls it again. Each connection thus fires about 900 timers a second forever
 * (3.7 % of a core when idle), and Node.js 24 prints TimeoutNegativeWarning.
 *
 * Another one: each connection looks ten times a second for requests whose time is over. Here it looks when the first one's may be.
 */
function patchRequestQueueTimers(prototype: RequestQueue): void {
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue): void {
    if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return
    const throttledMs = this.throttledUntil - Date.now()
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null
        this.checkPendingRequests()
      },
      throttledMs > 0 ? throttledMs : CHECK_INTERVAL_MS,
    )
  }
  prototype.scheduleRequestTimeoutCheck = function (this: RequestQueue): void {
    if (!this.enforceRequestTimeout) return
    this.destroy()
    const schedule = (delayMs: number): void => {
      this.requestTimeoutIntervalId = setTimeout(check, delayMs)
    }
    const check = (): void => {
      const now = Date.now()
      // What is sent from now on has as long at least.
      let next = this.requestTimeout
      for (const request of [...this.inflight.values()]) {
        const left = request.sentAt + request.requestTimeout - now
        if (left < 0) request.timeoutRequest()
        else next = Math.min(next, left)
      }
      if (this.isConnected()) schedule(next + 1)
      else this.destroy()
    }
    schedule(this.requestTimeout)
  }
}

/**
 * Defect: what a broker answers when it is asked for a group's coordinator is swallowed, and the next one asked. A group that the user has
 * no right to thus looks like a coordinator that can't be found, for which one would wait.
 */
function patchCoordinatorSearch(prototype: Cluster): void {
  const { findGroupCoordinatorMetadata } = prototype
  prototype.findGroupCoordinatorMetadata = async function (this: Cluster, request): Promise<unknown> {
    try {
      return await findGroupCoordinatorMetadata.call(this, request)
    } catch (error) {
      // Not thrown, since that is swallowed.
      const answer = await this.brokerPool.withBroker(({ broker }) =>
        broker.findGroupCoordinator(request).catch((reason: unknown) => reason),
      )
      throw isRefusal(answer) ? answer : error
    }
  }
}

function isRefusal(answer: unknown): boolean {
  return answer instanceof Error && 'type' in answer && /_AUTHORIZATION_FAILED$/.test(String(answer.type))
}

/**
 * Defects, all of them reasons for lost or doubled work in a rebalance:
 * - a member rejoins at once, while handlers of the old generation run: nothing public is awaited in between, and afterwards
 *   their commits are refused. The hook holds the join back until they have ended.
 * - the new generation's number and the moment before its first fetch are not public: positions can't be set there.
 * - a batch that was fetched before a rejoin or seek can be handed over after it.
 * - a position that the topic no longer holds is reset silently.
 * - a position doesn't get past what holds no record, and records of aborted transactions may be delivered: see {@link correctBatch}.
 * - a join is given up while the coordinator loads the group, which it does after its start and after a move.
 */
function patchConsumerGroup(prototype: ConsumerGroup): void {
  const { joinAndSync, fetch, recoverFromOffsetOutOfRange } = prototype

  prototype.joinAndSync = async function (this: ConsumerGroup): Promise<void> {
    const hooks = hooksOf(this)
    await hooks?.beforeJoin(this)
    await (hooks === undefined ? joinAndSync.call(this) : onceLoaded(() => joinAndSync.call(this)))
    await hooks?.afterJoin(this)
  }

  prototype.fetch = async function (this: ConsumerGroup, nodeId: string): Promise<FetchedMessages[]> {
    const hooks = hooksOf(this)
    if (hooks === undefined) return fetch.call(this, nodeId)
    const stamp = hooks.fetchStamp
    const measured = hooks.fetching()
    try {
      const batches = await fetch.call(this, nodeId)
      for (const batch of batches) correctBatch(batch)
      hooks.fetched(batches, stamp)
      return batches
    } finally {
      // kafkajs may join anew within a fetch.
      if (hooks.fetchStamp === stamp) measured.ended()
      else measured.dropped()
    }
  }

  prototype.recoverFromOffsetOutOfRange = async function (
    this: ConsumerGroup,
    error: { topic: string; partition: number },
  ): Promise<void> {
    const hooks = hooksOf(this)
    if (hooks === undefined) return recoverFromOffsetOutOfRange.call(this, error)
    await hooks.outOfRange(error.topic, error.partition)
  }
}

/**
 * Defect: each record is encoded into separate zeroed buffers, one more for each header, which are then copied into each other,
 * and the checksum is taken byte by byte: about 20 us per record of 1 KiB, four fifths of what sending costs. Records of this adapter
 * are encoded into one buffer per batch. Other requests are left alone, and so are versions below 7 (brokers before 2.1).
 */
function patchProduceEncoding(produce: ProduceProtocol): void {
  const { protocol } = produce
  produce.protocol = (wanted) => {
    const make = protocol(wanted)
    if (wanted.version !== FAST_PRODUCE_VERSION) return make
    return (parameters) =>
      isOurs(parameters)
        ? { ...make({ ...parameters, topicData: [] }), request: produceRequest(parameters) }
        : make(parameters)
  }
}

function hooksOf(group: ConsumerGroup): GroupHooks | undefined {
  for (const assigner of group.assigners) {
    const hooks = (assigner as { [GROUP_HOOKS]?: GroupHooks })[GROUP_HOOKS]
    if (hooks !== undefined) return hooks
  }
  return undefined
}

function patchOnce<T extends object>(prototype: T, patch: (prototype: T) => void): void {
  const marked = prototype as T & { [PATCHED]?: true }
  if (marked[PATCHED] === true) return
  Object.defineProperty(marked, PATCHED, { value: true })
  patch(prototype)
}
