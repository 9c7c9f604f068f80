import { atMost } from '../at-most.js'
import type { StoppedPartition } from '../consumer/stopped-partitions.js'
import { isStreamError, messageOf } from '../errors.js'
import type { LastError } from '../events.js'
import type { Producer } from '../producer/producer.js'
import type { RunnerParts } from './runner-parts.js'
import type { LoopState, RunningLoop } from './running-loop.js'

/** State of a runner. */
export type RunnerState = 'idle' | 'starting' | 'running' | 'stopping' | 'stopped' | 'failed'

/** An error as a health report shows it, without stack and secrets. */
export interface HealthError {
  readonly code: string
  readonly message: string
  /** ISO 8601. */
  readonly at: string
}

export interface LoopHealth {
  readonly state: LoopState
  /** False for loops that this process was configured not to run. */
  readonly chosen: boolean
  readonly connected: boolean
  /** True while the broker has messages but the transport delivers none: see the loop's `stallTimeoutMs`. */
  readonly stalled: boolean
  readonly stallReason?: string
  /**
   * Partitions that are stopped while the others continue, and why: an unreadable batch, a dead letter that can't be
   * written. Omitted when there are none.
   */
  readonly stoppedPartitions?: readonly StoppedPartitionHealth[]
  /**
   * True when the loop runs but needs attention: messages have waited for `ack()` longer than `unackedTimeoutMs`.
   * Doesn't affect `live` and `ready`.
   */
  readonly degraded: boolean
  readonly topics: readonly string[]
  readonly group: string
  readonly partitions: number
  /** Handlers running. */
  readonly running: number
  /** Messages received and not started. */
  readonly waiting: number
  /** Messages that have waited for `ack()` longer than `unackedTimeoutMs`; omitted when there are none. */
  readonly unacked?: number
  /** Messages that the group has not finished, over all partitions; omitted when unknown. */
  readonly lag?: number
  readonly lastError?: HealthError
}

interface StoppedPartitionHealth {
  readonly topic: string
  readonly partition: number
  /** Why, and since when. */
  readonly error: HealthError
}

export interface ProducerHealth {
  /** idle` until the first send. */
  readonly state: 'idle' | 'connected' | 'reconnecting'
  readonly connected: boolean
  readonly topic: string
  /** Records that are neither confirmed nor failed yet. */
  readonly buffered: number
  readonly lastError?: HealthError
}

/** Health report of a runner. */
export interface RunnerHealth {
  readonly state: RunnerState
  /** False when only restarting the process helps: a loop has failed or is stalled, or the runner has failed. */
  readonly live: boolean
  /**
   * True while every loop of this process is connected and handles messages in all its partitions, and no producer has
   * lost its connection.
   */
  readonly ready: boolean
  /** True when a loop of this process is degraded: a reason to investigate, not to restart. */
  readonly degraded: boolean
  readonly loops: Readonly<Record<string, LoopHealth>>
  readonly producers: Readonly<Record<string, ProducerHealth>>
}

/**
 * Maximum wait for the lag of all loops, in milliseconds: a broker that doesn't answer doesn't block a health check.
 */
const LAG_MS = 1_000

/** @param withLag - query the brokers for the lag; takes up to a second. */
export async function healthOf(state: RunnerState, parts: RunnerParts, withLag: boolean): Promise<RunnerHealth> {
  const { loops } = parts
  const lags = withLag ? await lagsOf(loops) : new Map<RunningLoop, number>()
  const loopHealth = Object.fromEntries(
    loops.map((one) => [one.name, healthOfLoop(one, parts.isChosen(one), lags.get(one))]),
  )
  const producers = Object.fromEntries(parts.producers.map(({ name, producer }) => [name, healthOfProducer(producer)]))
  const chosen = Object.values(loopHealth).filter((loop) => loop.chosen)
  const isWell = chosen.every((loop) => loop.state !== 'failed' && !loop.stalled)
  return {
    state,
    live: isWell && state !== 'failed',
    ready:
      isWell &&
      state === 'running' &&
      chosen.every((loop) => loop.connected && loop.state === 'running' && loop.stoppedPartitions === undefined) &&
      Object.values(producers).every((producer) => producer.state !== 'reconnecting'),
    degraded: chosen.some((loop) => loop.degraded),
    loops: loopHealth,
    producers,
  }
}

function healthOfLoop(one: RunningLoop, chosen: boolean, lag: number | undefined): LoopHealth {
  const { connected, partitions, stoppedPartitions, running, waiting, stalled, stallReason, unacked } = one.loop.stats()
  return {
    state: one.state,
    chosen,
    connected,
    stalled,
    ...(stallReason === undefined ? {} : { stallReason }),
    ...(stoppedPartitions.length === 0 ? {} : { stoppedPartitions: stoppedPartitions.map(healthOfStopped) }),
    degraded: unacked > 0,
    topics: one.loop.topics,
    group: one.loop.group,
    partitions,
    running,
    waiting,
    ...(unacked === 0 ? {} : { unacked }),
    ...(lag === undefined ? {} : { lag }),
    ...lastError(one.lastError),
  }
}

function healthOfProducer(producer: Producer): ProducerHealth {
  const { connected, buffered, reconnects, accepted } = producer.stats()
  const wasConnected = reconnects > 0 || accepted > 0 || producer.lastError !== undefined
  const lost = wasConnected || buffered > 0 ? 'reconnecting' : 'idle'
  return {
    state: connected ? 'connected' : lost,
    connected,
    topic: producer.topic,
    buffered,
    ...lastError(producer.lastError),
  }
}

function lastError(last: LastError | undefined): { lastError?: HealthError } {
  if (last === undefined) return {}
  return { lastError: healthError(last) }
}

function healthError({ error, at }: LastError): HealthError {
  const code = isStreamError(error) ? error.code : 'UNKNOWN'
  return { code, message: messageOf(error), at: new Date(at).toISOString() }
}

function healthOfStopped({ topic, partition, error, since }: StoppedPartition): StoppedPartitionHealth {
  return { topic, partition, error: healthError({ error, at: since }) }
}

async function lagsOf(loops: readonly RunningLoop[]): Promise<Map<RunningLoop, number>> {
  const lags = new Map<RunningLoop, number>()
  const asked = loops
    .filter(({ state, loop }) => state === 'running' && loop.transport.capabilities.lag !== false)
    .map(async (one) => {
      const partitions = await one.loop.lag()
      lags.set(
        one,
        partitions.reduce((sum, { lag }) => sum + lag, 0),
      )
    })
  await atMost(Promise.allSettled(asked), LAG_MS)
  return lags
}
