import {
  type ConsumerSink,
  type Delivery,
  type OutOfRange,
  type PartitionAssignment,
  type PartitionLag,
  type PartitionPositions,
  type StartPosition,
  startOf,
} from '@streamswitch/core/driver'
import { ActivePartition } from './active-partition.js'
import type { ConsumerUpdate } from './client-patches/server-frames.js'
import { Offset, type StreamClient, type SubscriptionHandle } from './client-patches/stream-client.js'
import type { StreamConnection } from './client-patches/stream-connection.js'
import { partitionGone } from './errors.js'
import { GroupRecordStore, type GroupRecords } from './group-records.js'
import type { StreamConsumerSettings } from './options.js'
import type { Candidate, Sight } from './orphan-watch.js'
import {
  firstOffsetOf,
  hasMessagesFrom,
  lagOf,
  rangeOf,
  resolvePosition,
  type StreamRange,
} from './stream-positions.js'

/** What the members of one driver share. */
export interface MemberContext {
  readonly client: StreamClient
  readonly sink: ConsumerSink
  readonly group: string
  readonly from: StartPosition | PartitionPositions | undefined
  readonly options: StreamConsumerSettings
  /** The epochs that this process has given, by stream and group: an assignment that follows its own wasn't preceded by a crash. */
  readonly ownEpochs: Map<string, number>
  lost(error: unknown): void
}

export interface PartitionName {
  readonly topic: string
  readonly partition: number
  readonly stream: string
  readonly superStream: string | undefined
}

/**
 * This process's candidacy for one partition. A single active consumer that is never sent a message says who owns the partition;
 * the owner reads it through a subscription of its own, which can begin anywhere.
 */
export class PartitionMember implements Candidate {
  readonly name: PartitionName
  readonly #context: MemberContext
  readonly #store: GroupRecordStore
  #active: ActivePartition | undefined
  #candidacy: SubscriptionHandle | undefined
  /** Updates are answered one after the other. */
  #updates: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(name: PartitionName, context: MemberContext) {
    this.name = name
    this.#context = context
    this.#store = new GroupRecordStore(context.client.locator, name.stream, context.group, name.topic)
  }

  /** Stands as a candidate. */
  async join(): Promise<void> {
    if (this.#stopped) return
    const { client, group } = this.#context
    const { stream, superStream } = this.name
    this.#candidacy = await client.subscribe(
      {
        stream,
        offset: Offset.next(),
        credit: 0,
        singleActive: true,
        consumerRef: group,
        ...(superStream === undefined ? {} : { superStream }),
      },
      { update: (connection, update) => this.#enqueue(connection, update) },
    )
  }

  /** Gives up the candidacy. The broker is asked to, and answers: see `orphan-watch.ts` for what a mere end of the connection may do. */
  async stepBack(): Promise<void> {
    const candidacy = this.#candidacy
    this.#candidacy = undefined
    if (candidacy !== undefined) await this.#context.client.unsubscribe(candidacy)
  }

  get waiting(): boolean {
    return !this.#stopped && this.#candidacy !== undefined && this.#active === undefined
  }

  look(): Promise<Sight> {
    return this.#store.look()
  }

  callBack(): void {
    this.#store.saveCall()
  }

  async hasBacklog(): Promise<boolean> {
    return hasMessagesFrom(this.#context.client, this.name.stream, await this.#store.position())
  }

  get active(): boolean {
    return this.#active !== undefined
  }

  /** True once some member has fixed where the group begins. */
  async positioned(): Promise<boolean> {
    return this.active || (await this.#store.position()) !== undefined
  }

  owns(assignment: PartitionAssignment): boolean {
    return this.#active?.assignment === assignment
  }

  commit(last: Delivery): Promise<void> {
    return this.#owned().commit(last)
  }

  note(delivery: Delivery, note: number): Promise<void> {
    return this.#owned().note(delivery, note)
  }

  /** Core has let go of the assignment already. */
  async seek(position: StartPosition): Promise<void> {
    const active = this.#owned()
    await active.release()
    const start = await this.#resolve(position)
    await this.#store.savePosition(start)
    if (this.#active !== active) return
    await this.#begin(await this.#store.load(), start)
  }

  async lag(): Promise<PartitionLag> {
    const { topic, partition, stream } = this.name
    return { topic, partition, lag: await lagOf(this.#context.client, stream, await this.#store.position()) }
  }

  stop(): void {
    this.#stopped = true
    this.#active?.stop()
  }

  /** The loop ends in good order. Never rejects. */
  async leave(): Promise<void> {
    this.stop()
    const active = this.#active
    this.#active = undefined
    try {
      await active?.release()
      await this.stepBack()
    } catch {
      // The connection is gone: the broker knows.
    }
  }

  #owned(): ActivePartition {
    if (this.#active === undefined) throw partitionGone(this.name.topic, this.name.partition)
    return this.#active
  }

  #enqueue(connection: StreamConnection, update: ConsumerUpdate): void {
    this.#updates = this.#updates.then(async () => {
      try {
        await (update.active ? this.#activate() : this.#deactivate())
        this.#context.client.answerUpdate(connection, update.correlationId, Offset.next())
      } catch (error) {
        this.#context.lost(error)
      }
    })
  }

  async #activate(): Promise<void> {
    if (this.#stopped || this.#active !== undefined) return
    const records = await this.#store.load()
    const start = await this.#startOf(records)
    if (!this.#stopped) await this.#begin(records, start)
  }

  async #begin(records: GroupRecords, start: number): Promise<void> {
    const { client, sink, group, options, ownEpochs } = this.#context
    const { topic, partition, stream } = this.name
    const owner = `${stream} ${group}`
    const isOwn = records.epoch !== 0 && records.epoch === ownEpochs.get(owner)
    const epoch = Math.max(records.epoch + 1, Date.now())
    ownEpochs.set(owner, epoch)
    this.#store.saveEpoch(epoch)
    const active = new ActivePartition({
      assignment: { topic, partition, epoch },
      stream,
      group,
      start,
      records,
      suspectBelow: isOwn ? 0 : records.started,
      options,
      store: this.#store,
      client,
      sink,
      broken: (error) => this.#context.lost(error),
    })
    this.#active = active
    sink.assigned([active.assignment])
    await active.subscribe()
  }

  /** At the group's position; a new group begins where `from` says, and every member is to know. */
  async #startOf({ position, epoch, started }: GroupRecords): Promise<number> {
    const { client, sink, from } = this.#context
    const { topic, partition, stream } = this.name
    if (position !== undefined) {
      sink.startIgnored(topic)
      return (await firstOffsetOf(client, stream)) <= position ? position : this.#overtaken(String(position))
    }
    // The broker forgets a position that retention has overtaken: then the group is not new.
    if (epoch !== 0) return this.#overtaken(started > 0 ? String(started) : 'of the group')
    const start = await this.#resolve(startOf(from, partition) ?? 'earliest')
    await this.#store.savePosition(start)
    return start
  }

  /** Retention has removed what the group would have read next. */
  async #overtaken(offset: string): Promise<number> {
    const { client, sink } = this.#context
    const { topic, partition, stream } = this.name
    const range = await rangeOf(client, stream)
    const policy = sink.outOfRange({ topic, partition, offset, ...heldIn(range) })
    const start = policy === 'earliest' ? range.first : range.end
    await this.#store.savePosition(start)
    return start
  }

  #resolve(position: StartPosition): Promise<number> {
    const { topic, partition, stream } = this.name
    return resolvePosition(this.#context.client, stream, position, (offset, range) =>
      this.#context.sink.outOfRange({ topic, partition, offset: String(offset), ...heldIn(range) }),
    )
  }

  async #deactivate(): Promise<void> {
    const active = this.#active
    if (active === undefined) return
    active.stop()
    await this.#context.sink.revoked([active.assignment], 'graceful', this.#context.options.handoverTimeoutMs)
    if (this.#active === active) this.#active = undefined
    await active.release()
  }
}

/** The offsets of the oldest and the newest message. */
function heldIn({ first, end, lastChunkAt }: StreamRange): Pick<OutOfRange, 'first' | 'last'> {
  return lastChunkAt === undefined
    ? { first: undefined, last: undefined }
    : { first: String(first), last: String(end - 1) }
}
