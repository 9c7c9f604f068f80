import { atMost } from '../at-most.js'
import type { StoppedPartition } from '../consumer/stopped-partitions.js'
import { isStreamError, messageOf } from '../errors.js'
import type { LastError } from '../events.js'
import type { Producer } from '../producer/producer.js'
import type { RunnerParts } from './runner-parts.js'
import type { LoopState, RunningLoop } from './running-loop.js'

/** Where a runner is. */
export type RunnerState = 'idle' | 'starting' | 'running' | 'stopping' | 'stopped' | 'failed'

/** An error as a health report shows it: no stack, no secrets. */
export interface HealthError {
  readonly code: string
  readonly message: string
  /** ISO 8601. */
  readonly at: string
}

export interface LoopHealth {
  readonly state: LoopState
  /** False for loops that this process was told not to run. */
  readonly chosen: boolean
  readonly connected: boolean
  /** True while messages are there and the transport delivers none: see the loop's `stallTimeoutMs`. */
  readonly stalled: boolean
  readonly stallReason?: string
  /** Partitions that have stopped while the others go on, and why: a batch that can't be read, a dead letter that can't be written. Left out: none. */
  readonly stoppedPartitions?: readonly StoppedPartitionHealth[]
  /** It goes on, and something in it doesn't: messages wait for `ack()` longer than `unackedTimeoutMs`. Neither `live` nor `ready` is false for that. */
  readonly degraded: boolean
  readonly topics: readonly string[]
  readonly group: string
  readonly partitions: number
  /** Handlers at work. */
  readonly running: number
  /** Received, and not started. */
  readonly waiting: number
  /** Messages that wait for `ack()` longer than `unackedTimeoutMs`; left out where there is none. */
  readonly unacked?: number
  /** Messages that the group has not finished, over all partitions; left out where it isn't known. */
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
  /** `idle` until something is sent. */
  readonly state: 'idle' | 'connected' | 'reconnecting'
  readonly connected: boolean
  readonly topic: string
  /** Records that have no outcome yet. */
  readonly buffered: number
  readonly lastError?: HealthError
}

/** How a runner is doing. */
export interface RunnerHealth {
  readonly state: RunnerState
  /** False where only a new process helps: a loop has failed or is stalled, or the runner has failed. */
  readonly live: boolean
  /** True while every loop that this process runs is connected and handles messages in all of its partitions, and no producer has lost its connection. */
  readonly ready: boolean
  /** True where a loop that this process runs is degraded: a reason to look, none to restart. */
  readonly degraded: boolean
  readonly loops: Readonly<Record<string, LoopHealth>>
  readonly producers: Readonly<Record<string, ProducerHealth>>
}

/** Longest wait for the lag of all loops, in milliseconds: a broker that doesn't answer holds no health check up. */
const LAG_MS = 1_000

/** @param withLag - ask the brokers for the lag; up to a second. */
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
