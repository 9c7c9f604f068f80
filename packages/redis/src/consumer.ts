import {
  type AttemptJournal,
  atMost,
  type ConsumerDriver,
  type ConsumerSink,
  type ConsumerSpec,
  type DedupeClaim,
  type DedupeStore,
  type Delivery,
  type MarkSettlement,
  messageOf,
  type PartitionAssignment,
  type PartitionLag,
  type StartPosition,
  StreamError,
} from '@streamswitch/core/driver'
import type { Connection, Connector } from './connection.js'
import { completionAnswer, RedisDedupeStore } from './dedupe-store.js'
import { classifyError, fencedError } from './errors.js'
import { ACK, FENCED, NOTE_ATTEMPT, SEEK } from './group-scripts.js'
import { GroupSetup } from './group-setup.js'
import type { Incarnation } from './incarnations.js'
import { markKey, type Partition } from './keys.js'
import { readLags } from './lag.js'
import { LeaseMembership } from './lease-membership.js'
import { ACK_MARKED } from './mark-scripts.js'
import type { Membership } from './membership.js'
import type { ReaderContext } from './partition-reader.js'
import { namesEntry, outsideOf, startId } from './position.js'
import type { Script } from './script.js'
import { SharedMembership } from './shared-membership.js'
import { sameServer } from './transports.js'
import { BLOCK_MS, WakeUp } from './wake-up.js'

/**
 * The consumer of groups whose partitions have one owner at a time: pending entries stay with it when the owner
 * changes.
 */
const OWNER = 'streamswitch'

/**
 * Maximum number of entries per fetch: with an owner, and shared, where a smaller one leaves some for the other
 * members.
 */
const FETCH_LIMITS = { key: 500, none: 64 }

/** Maximum time for leaving the group, in milliseconds. */
const LEAVE_MS = 2_000

/** Receives the entries of some topics for one member of a group. */
export class RedisConsumerDriver implements ConsumerDriver {
  readonly settlement = 'individual'
  readonly redelivery = 'core'
  readonly settleIntervalMs = 0
  readonly attempts: AttemptJournal = {
    starting: (assignment, delivery, attempt) => this.#noteAttempt(assignment, delivery, attempt),
    failed: (assignment, delivery, attempt) => this.#noteAttempt(assignment, delivery, attempt),
  }
  readonly marks: MarkSettlement = {
    takes: (store) => this.#takesMarksOf(store),
    place: (topic, partition) => this.#partitionOf({ topic, partition })?.stream ?? topic,
  }
  readonly #connector: Connector
  readonly #spec: ConsumerSpec
  readonly #incarnation: Incarnation
  readonly #sink: ConsumerSink
  #connection: Connection | undefined
  #blocking: Connection | undefined
  #wakeUp: WakeUp | undefined
  #membership: Membership | undefined
  #partitions: readonly Partition[] = []
  #over = false

  constructor(connector: Connector, spec: ConsumerSpec, incarnation: Incarnation, sink: ConsumerSink) {
    this.#connector = connector
    this.#spec = spec
    this.#incarnation = incarnation
    this.#sink = sink
  }

  get waitingFor(): string {
    return this.#connection === undefined ? 'a primary to answer' : 'its membership of the group'
  }

  async open(signal: AbortSignal): Promise<void> {
    const { settings } = this.#connector
    const lost = (error: unknown): void => this.#lose(error)
    this.#connection = this.#wanted(await this.#connector.connectChecked({ role: 'consumer', lost }, signal))
    this.#blocking = this.#wanted(await this.#connector.connect({ role: 'waiter', lost, blockMs: BLOCK_MS }, signal))
    this.#wakeUp = new WakeUp(this.#blocking, this.#connection, this.#spec.brokerGroup)
    await this.#wakeUp.open()
    const setup = new GroupSetup(this.#connection, this.#spec, this.#incarnation, this.#sink)
    this.#partitions = await setup.open()
    signal.throwIfAborted()
    // Nobody would end a membership that begins after this driver was closed.
    if (this.#over) throw new Error('Connection is closed.')
    const ordered = this.#spec.ordering === 'key'
    const context: ReaderContext = {
      connection: this.#connection,
      wakeUp: this.#wakeUp,
      sink: this.#sink,
      group: this.#spec.brokerGroup,
      consumer: ordered ? OWNER : this.#incarnation.id,
      budget: this.#connector.fetchBudget,
      maxFetchEntries: FETCH_LIMITS[this.#spec.ordering],
    }
    this.#membership = ordered
      ? new LeaseMembership(context, settings, this.#spec, setup, this.#incarnation.id, this.#partitions, lost)
      : new SharedMembership(context, settings, setup, this.#partitions, lost)
    await this.#membership.join()
  }

  /** Throws for a connection that was opened while this driver was being closed: nothing else would close it. */
  #wanted(connection: Connection): Connection {
    if (!this.#over) return connection
    connection.close()
    throw new Error('Connection is closed.')
  }

  async ack(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    if (deliveries.some((delivery) => delivery.claim !== undefined)) return this.#ackMarked(assignment, deliveries)
    const ids = deliveries.map((delivery) => delivery.position as string)
    await this.#fenced(ACK, assignment, [this.#spec.brokerGroup, ...ids], 'ack')
    this.#membership?.acked(assignment, deliveries)
  }

  async remove(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    await this.ack(assignment, deliveries)
    const partition = this.#partitionOf(assignment)
    const ids = deliveries.map((delivery) => delivery.position as string)
    if (partition !== undefined) await this.#connection?.call('XDEL', partition.stream, ...ids)
  }

  async release(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    await this.#membership?.release(assignment, deliveries)
  }

  async seek(assignment: PartitionAssignment, position: StartPosition): Promise<void> {
    await this.#membership?.restart(assignment, () => this.#moveGroup(assignment, position))
  }

  async #moveGroup(assignment: PartitionAssignment, position: StartPosition): Promise<void> {
    const args = [this.#spec.brokerGroup, startId(position), namesEntry(position)]
    const outside = outsideOf(await this.#fenced(SEEK, assignment, args, 'seek'))
    if (outside === undefined) return
    const { topic, partition } = assignment
    const offset = typeof position === 'object' && 'offset' in position ? position.offset : ''
    await this.#moveGroup(assignment, this.#sink.outOfRange({ topic, partition, offset, ...outside }))
  }

  async lag(): Promise<readonly PartitionLag[]> {
    const lags = await this.#lags().catch((error: unknown) => Promise.reject(classifyError(error, 'lag')))
    return lags.map((lag, index) => {
      const partition = this.#partitions[index] as Partition
      return lag ?? { topic: partition.topic, partition: partition.number, lag: 0, unacked: 0 }
    })
  }

  async stop(): Promise<void> {
    await this.#membership?.stop()
  }

  async probe(): Promise<void> {
    await this.#connector.probe(this.#connection)
  }

  async close(): Promise<void> {
    const wasOver = this.#over
    this.#over = true
    this.#wakeUp?.stop()
    // A broken connection can't deregister: the leases expire, and this loop takes its own back immediately.
    const leaving = this.#membership?.leave().catch(() => {})
    if (!wasOver && leaving !== undefined) await atMost(leaving, LEAVE_MS)
    this.#blocking?.close()
    this.#connection?.close()
  }

  async #ackMarked(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    const partition = this.#partitionOf(assignment)
    const marks = deliveries.map(({ claim }) => (claim === undefined ? (partition?.stream ?? '') : markKey(claim)))
    const entries = deliveries.flatMap(({ position, claim }) => [position as string, ...completion(claim)])
    const reply = await this.#fenced(ACK_MARKED, assignment, [this.#spec.brokerGroup, ...entries], 'ack', marks)
    for (const [index, delivery] of deliveries.entries()) {
      const answer = completionAnswer((reply as number[])[index] ?? 0)
      if (answer !== 'completed') delivery.refusal = answer
    }
    const settled = deliveries.filter(({ refusal }) => refusal !== 'busy')
    this.#membership?.acked(assignment, settled)
  }

  async #lags(): Promise<readonly (PartitionLag | undefined)[]> {
    if (this.#connection === undefined) throw new Error('Connection is closed.')
    return readLags(this.#connection, this.#partitions, this.#spec.brokerGroup)
  }

  #takesMarksOf(store: DedupeStore): boolean {
    return store instanceof RedisDedupeStore && sameServer(store.connector, this.#connector)
  }

  async #noteAttempt(assignment: PartitionAssignment, delivery: Delivery, attempt: number): Promise<void> {
    await this.#fenced(NOTE_ATTEMPT, assignment, [delivery.position as string, attempt], 'handle')
  }

  /**
   * Runs a script that checks the lease. Rejects with ABORTED, after reporting the loss, when the partition belongs to
   * another member.
   */
  async #fenced(
    script: Script,
    assignment: PartitionAssignment,
    args: readonly (string | number)[],
    operation: string,
    moreKeys: readonly string[] = [],
  ): Promise<unknown> {
    const partition = this.#partitionOf(assignment)
    const token = this.#membership?.tokenOf(assignment)
    if (partition === undefined || token === undefined || this.#connection === undefined)
      throw fencedError(assignment.topic, assignment.partition, operation)
    const reply = await this.#connection.run(
      script,
      [partition.stream, partition.lease, partition.attempts, ...moreKeys],
      [token, ...args],
    )
    if (String(reply) !== FENCED) return reply
    this.#membership?.fenced(assignment)
    throw fencedError(assignment.topic, assignment.partition, operation)
  }

  #partitionOf({ topic, partition }: Pick<PartitionAssignment, 'topic' | 'partition'>): Partition | undefined {
    return this.#partitions.find((one) => one.topic === topic && one.number === partition)
  }

  #lose(error: unknown): void {
    if (this.#over) return
    this.#over = true
    this.#sink.lost(
      error instanceof Error
        ? error
        : new StreamError(messageOf(error), { code: 'UNKNOWN', transport: 'redis', operation: 'consume' }),
    )
  }
}

/** Arguments with which a script completes a claim. */
function completion(claim: DedupeClaim | undefined): [string, number] {
  return claim === undefined ? ['', 0] : [claim.token, claim.ttlMs]
}
