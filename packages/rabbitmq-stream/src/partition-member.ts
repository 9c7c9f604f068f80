/**
 * The membership protocol of one partition, as seen by one member. The broker's single active consumer of the group says who owns the
 * partition; everything else follows from its updates and from what is stored beside the stream.
 *
 * | state | the member has | event | next state |
 * |---|---|---|---|
 * | away | no candidacy | `join` | waiting |
 * | waiting | a candidacy | update: active | activating |
 * | | | `stepBack` (the orphan watch) | away |
 * | activating | a term; its records are being loaded | records loaded, epoch written and read back | owning |
 * | | | update: inactive | waiting |
 * | | | a higher epoch is stored | away, then `join` |
 * | owning | a term with an active partition | update: inactive | handing over |
 * | | | a higher epoch is stored | away, then `join` |
 * | handing over | the same, and handlers that finish | core has let go | waiting |
 * | any | | `leave`, or the connection is lost | left, for good |
 *
 * - A **candidacy** is one subscription. Its updates are handled one after the other, and each is answered, also when the candidacy has
 *   ended: the broker activates nobody while it waits for an answer.
 * - A **term** is one activation of one candidacy. It ends with the update that takes the partition back, with its candidacy, and when a
 *   higher epoch is found. Every wait between "the broker has activated this member" and what follows from it goes through `#within`,
 *   which doesn't return once the term has ended.
 * - `stepBack` does nothing from the moment an update has arrived. One that is in flight belongs to a candidacy that has ended by
 *   then, and is answered without any effect: the broker activates another member when it handles the request.
 * - The **epoch** decides between two members that both believe they own the partition. Storing has no reply and can't be made conditional:
 *   so each member reads the epoch before and after it stores an offset, and while it owns the partition. A higher one ends
 *   its term; a lower one, or another offset than its own, was stored by a former owner and is overwritten.
 */
import {
  type ConsumerSink,
  type Delivery,
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
import { partitionGone, takenOver } from './errors.js'
import { GroupRecordStore, type GroupRecords } from './group-records.js'
import type { StreamConsumerSettings } from './options.js'
import type { Candidate, Sight } from './orphan-watch.js'
import {
  firstOffsetOf,
  hasMessagesFrom,
  heldIn,
  lagOf,
  rangeOf,
  removedRange,
  resolvePosition,
  type StreamRange,
} from './stream-positions.js'

/** Epochs of two members that are activated in the same millisecond differ by chance. */
const EPOCH_SPREAD = 65_536

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
  /** TopicSpec.origin`. Default: `topic`. */
  readonly origin?: string
  readonly partition: number
  readonly stream: string
  readonly superStream: string | undefined
}

/** One subscription as a candidate, from the request for it to its end. */
interface Candidacy {
  /** `undefined` until the broker has answered. */
  handle: SubscriptionHandle | undefined
  /** Updates that have arrived and aren't answered. */
  unanswered: number
  term: Term | undefined
}

/** One activation of a candidacy. */
interface Term {
  readonly candidacy: Candidacy
  /** The broker has taken the partition back. */
  revoked: boolean
  /** Set once the member owns the partition. */
  active: ActivePartition | undefined
}

/** A term ended while something was awaited: what was to follow must not happen. */
class TermOver extends Error {}

/**
 * This process's membership in one partition. A single active consumer that is never sent a message says who owns the partition;
 * the owner reads it through a subscription of its own, which can begin anywhere.
 */
export class PartitionMember implements Candidate {
  readonly name: PartitionName
  readonly #context: MemberContext
  readonly #store: GroupRecordStore
  /** What the stream held when the lag was asked for last. */
  #range: StreamRange | undefined
  #candidacy: Candidacy | undefined
  /** Updates, seeks and what follows from a higher epoch, one after the other. */
  #queue: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(name: PartitionName, context: MemberContext) {
    this.name = name
    this.#context = context
    this.#store = new GroupRecordStore(context.client.locator, name.stream, context.group, name.topic)
  }

  /** Becomes a candidate. Does nothing for one that is, or has left. */
  async join(): Promise<void> {
    if (this.#stopped || this.#candidacy !== undefined) return
    const { client, group } = this.#context
    const { stream, superStream } = this.name
    const candidacy: Candidacy = { handle: undefined, unanswered: 0, term: undefined }
    this.#candidacy = candidacy
    try {
      candidacy.handle = await client.subscribe(
        {
          stream,
          offset: Offset.next(),
          credit: 0,
          singleActive: true,
          consumerRef: group,
          ...(superStream === undefined ? {} : { superStream }),
        },
        { update: (connection, update) => this.#updated(candidacy, connection, update) },
      )
    } catch (error) {
      if (this.#candidacy === candidacy) this.#candidacy = undefined
      throw error
    }
    // It has left, or given the partition up, before the broker answered.
    if (this.#candidacy !== candidacy) await client.unsubscribe(candidacy.handle)
  }

  /**
   * Ends the candidacy of a member that waits, by a request: see `orphan-watch.ts` for what a mere end of the connection may do.
   * Resolves to false, and does nothing, where the member isn't waiting: the broker may have activated it just now.
   */
  async stepBack(): Promise<boolean> {
    if (!this.waiting) return false
    await this.#withdraw()
    return true
  }

  get waiting(): boolean {
    const candidacy = this.#candidacy
    return (
      !this.#stopped && candidacy?.handle !== undefined && candidacy.unanswered === 0 && candidacy.term === undefined
    )
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

  /** Core has let go of the assignment already. Where the partition is revoked meanwhile, the next owner begins at the old or the new position. */
  seek(position: StartPosition): Promise<void> {
    const seeking = this.#queue.then(() => this.#seek(position))
    this.#queue = seeking.catch(() => {})
    return seeking
  }

  async lag(): Promise<PartitionLag> {
    const { topic, partition, stream } = this.name
    const { client } = this.#context
    // Asked together: they leave with one packet.
    const [position, range] = await Promise.all([this.#store.position(), rangeOf(client, stream, this.#range)])
    this.#range = range
    return { topic, partition, lag: await lagOf(client, stream, position, range) }
  }

  stop(): void {
    this.#stopped = true
    this.#active?.stop()
  }

  /** A connection of the client is lost: the broker may have activated another member already. */
  end(): void {
    this.#stopped = true
    this.#active?.end()
  }

  /** The loop ends in good order. Never rejects. */
  async leave(): Promise<void> {
    this.stop()
    try {
      // A hand-over is answered first.
      await this.#queue
      await this.#withdraw()
    } catch {
      // The connection is gone: the broker knows.
    }
  }

  /** Ends candidacy and term at once, then lets go of what they held, and asks the broker to end the subscription. */
  async #withdraw(): Promise<void> {
    const candidacy = this.#candidacy
    this.#candidacy = undefined
    await candidacy?.term?.active?.release()
    if (candidacy?.handle !== undefined) await this.#context.client.unsubscribe(candidacy.handle)
  }

  get #active(): ActivePartition | undefined {
    return this.#candidacy?.term?.active
  }

  #owned(): ActivePartition {
    const active = this.#active
    if (active === undefined) throw partitionGone(this.name.topic, this.name.partition)
    return active
  }

  /** The broker's word on this candidacy, in the order of arrival. */
  #updated(candidacy: Candidacy, connection: StreamConnection, update: ConsumerUpdate): void {
    candidacy.unanswered += 1
    if (!update.active && candidacy.term !== undefined) candidacy.term.revoked = true
    this.#queue = this.#queue.then(async () => {
      try {
        if (this.#candidacy === candidacy) await (update.active ? this.#activate(candidacy) : this.#handOver(candidacy))
      } catch (error) {
        if (!(error instanceof TermOver)) return this.#context.lost(error)
      }
      candidacy.unanswered -= 1
      this.#context.client.answerUpdate(connection, update.correlationId, Offset.next())
    })
  }

  /** The only way to wait within a term: settles as the step does, but for a term that has ended meanwhile it rejects with TermOver. */
  async #within<T>(term: Term, step: Promise<T>): Promise<T> {
    const [settled] = await Promise.allSettled([step])
    if (!this.#holds(term)) throw new TermOver()
    if (settled.status === 'rejected') throw settled.reason
    return settled.value
  }

  /** Stores where the group begins. */
  #save(term: Term, start: number): Promise<void> {
    const check = (): void => {
      if (!this.#holds(term)) throw new TermOver()
    }
    return this.#within(term, this.#store.savePosition(start, check))
  }

  #holds(term: Term): boolean {
    const { candidacy, revoked } = term
    return !this.#stopped && !revoked && candidacy.term === term && this.#candidacy === candidacy
  }

  async #activate(candidacy: Candidacy): Promise<void> {
    if (this.#stopped || candidacy.term !== undefined) return
    const term: Term = { candidacy, revoked: false, active: undefined }
    candidacy.term = term
    try {
      const records = await this.#within(term, this.#store.load())
      await this.#begin(term, records, await this.#startOf(term, records))
    } finally {
      if (term.active === undefined && candidacy.term === term) candidacy.term = undefined
    }
  }

  async #begin(term: Term, records: GroupRecords, start: number): Promise<void> {
    const { client, sink, group, options, ownEpochs } = this.#context
    const { topic, origin = topic, partition, stream } = this.name
    const owner = `${stream} ${group}`
    const isOwn = records.epoch !== 0 && records.epoch === ownEpochs.get(owner)
    const epoch = Math.max(records.epoch, Date.now()) + 1 + Math.floor(Math.random() * EPOCH_SPREAD)
    this.#store.saveEpoch(epoch)
    const stored = await this.#within(term, this.#store.epoch())
    if (stored > epoch) return this.#giveUp(term)
    ownEpochs.set(owner, epoch)
    const active = new ActivePartition({
      assignment: { topic, origin, partition, epoch },
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
      takenOver: () => this.#giveUp(term),
    })
    term.active = active
    sink.assigned([active.assignment])
    await this.#within(term, active.subscribe())
  }

  async #seek(position: StartPosition): Promise<void> {
    const active = this.#owned()
    const term = this.#candidacy?.term as Term
    try {
      await this.#within(term, active.release())
      const start = await this.#within(term, this.#resolve(position))
      await this.#save(term, start)
      await this.#begin(term, await this.#within(term, this.#store.loadAnew(start)), start)
    } catch (error) {
      if (!(error instanceof TermOver)) throw error
    }
  }

  /** At the group's position; a new group begins where `from` says, and every member is to know. */
  async #startOf(term: Term, { lastPosition, epoch }: GroupRecords): Promise<number> {
    const { client, sink, from } = this.#context
    const { topic, partition, stream } = this.name
    if (lastPosition !== undefined) {
      sink.startIgnored(topic)
      const first = await this.#within(term, firstOffsetOf(client, stream))
      return first <= lastPosition ? lastPosition : this.#overtaken(term, lastPosition)
    }
    // Earlier versions kept no position that outlives retention: then the group is not new.
    if (epoch !== 0) return this.#overtaken(term, undefined)
    const start = await this.#within(term, this.#resolve(startOf(from, partition) ?? 'earliest'))
    await this.#save(term, start)
    return start
  }

  /** Retention has removed what the group would have read next. */
  async #overtaken(term: Term, position: number | undefined): Promise<number> {
    const { client, sink } = this.#context
    const { topic, partition, stream } = this.name
    const range = await this.#within(term, rangeOf(client, stream))
    const offset = position === undefined ? 'of the group' : String(position)
    const policy = sink.outOfRange({ topic, partition, offset, ...heldIn(range) })
    const start = policy === 'earliest' ? range.first : range.end
    await this.#save(term, start)
    sink.removed?.(removedRange(topic, partition, position, range.first))
    return start
  }

  #resolve(position: StartPosition): Promise<number> {
    const { topic, partition, stream } = this.name
    return resolvePosition(this.#context.client, stream, position, (offset, range) =>
      this.#context.sink.outOfRange({ topic, partition, offset: String(offset), ...heldIn(range) }),
    )
  }

  async #handOver(candidacy: Candidacy): Promise<void> {
    const { term } = candidacy
    const active = term?.active
    if (active !== undefined) {
      active.stop()
      await this.#context.sink.revoked([active.assignment], 'graceful', this.#context.options.handoverTimeoutMs)
      // Given up meanwhile: another member may be the owner by now.
      if (candidacy.term !== term) return
      await active.release()
    }
    candidacy.term = undefined
  }

  /** A higher epoch is stored: another member was activated after this one. Ends the term, and stands again behind the others. */
  #giveUp(term: Term): void {
    const { candidacy, active } = term
    if (candidacy.term !== term) return
    const { client, sink, lost } = this.#context
    candidacy.term = undefined
    if (this.#candidacy === candidacy) this.#candidacy = undefined
    if (active !== undefined) {
      sink.report(takenOver(this.name.topic, this.name.partition))
      void sink.revoked([active.assignment], 'lost')
    }
    const { handle } = candidacy
    this.#queue = this.#queue.then(async () => {
      try {
        await active?.abandon()
        if (handle !== undefined) await client.unsubscribe(handle)
        await this.join()
      } catch (error) {
        lost(error)
      }
    })
  }
}
