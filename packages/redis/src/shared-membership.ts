import { type Delivery, type PartitionAssignment, StreamError, untilNextStep } from '@streamswitch/core/driver'
import { CLAIM, GIVE_BACK, KEEP, LEAVE, TEND_SHARED } from './group-scripts.js'
import type { GroupSetup } from './group-setup.js'
import { FORMAT_VERSION, type Partition } from './keys.js'
import type { Membership } from './membership.js'
import { type RawEntry, readEntries } from './message.js'
import type { RedisSettings } from './options.js'
import { PartitionReader, type ReaderContext } from './partition-reader.js'

/** Maximum number of entries claimed at once. */
const CLAIM_LIMIT = 100

/** Maximum number of entries kept fresh by one call. */
const KEEP_LIMIT = 500

interface Share {
  readonly partition: Partition
  reader: PartitionReader
  /** Delivered here and not settled. */
  readonly unsettled: Set<string>
  claimDue: boolean
  /** The topic or its group was deleted, and the loop has others. */
  absent: boolean
}

/**
 * Members that all read all partitions, each getting some of the entries, in no order. Entries that a member abandons
 * are claimed by the others once it has been silent for `claimIdleMs`; a live member keeps its own fresh, however long
 * its handlers take.
 */
export class SharedMembership implements Membership {
  readonly #context: ReaderContext
  readonly #settings: RedisSettings
  readonly #setup: GroupSetup
  readonly #shares: Share[]
  readonly #lose: (error: unknown) => void
  #timer: NodeJS.Timeout | undefined
  #tending: Promise<void> = Promise.resolve()
  #stopped = false
  #left = false

  constructor(
    context: ReaderContext,
    settings: RedisSettings,
    setup: GroupSetup,
    partitions: readonly Partition[],
    lose: (error: unknown) => void,
  ) {
    this.#context = context
    this.#settings = settings
    this.#setup = setup
    this.#lose = lose
    this.#shares = partitions.map((partition) => this.#share(partition))
  }

  async join(): Promise<void> {
    this.#context.sink.assigned(this.#shares.map((share) => share.reader.assignment))
    // Unsettled entries of an earlier connection of this loop are delivered first; no member has died.
    for (const share of this.#shares) share.reader.start({ suspectTo: undefined })
    this.#schedule()
  }

  tokenOf(assignment: PartitionAssignment): string | undefined {
    return this.#shareOf(assignment) === undefined ? undefined : ''
  }

  fenced(): void {}

  acked(assignment: PartitionAssignment, deliveries: readonly Delivery[]): void {
    const share = this.#shareOf(assignment)
    for (const delivery of deliveries) share?.unsettled.delete(delivery.position as string)
  }

  async release(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    const share = this.#shareOf(assignment)
    if (share === undefined) return
    const ids = deliveries.map((delivery) => delivery.position as string)
    for (const id of ids) share.unsettled.delete(id)
    const { connection, group, consumer } = this.#context
    // What can't be returned now is claimed later.
    await connection.run(GIVE_BACK, [share.partition.stream], [group, consumer, ...ids]).catch(() => {})
  }

  async restart(assignment: PartitionAssignment, move: (token: string) => Promise<void>): Promise<void> {
    const index = this.#shares.findIndex((share) => share.reader.assignment === assignment)
    const old = this.#shares[index]
    if (old === undefined) throw notAssigned()
    await old.reader.stop()
    if (this.#stopped) throw notAssigned()
    await move('')
    // The loop closes: nobody would stop a new reader.
    if (this.#stopped) throw notAssigned()
    const share = this.#share(old.partition)
    this.#shares[index] = share
    this.#context.sink.assigned([share.reader.assignment])
    share.reader.start(undefined)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#shares.map((share) => share.reader.stop()))
  }

  async leave(): Promise<void> {
    this.#stopped = true
    this.#left = true
    clearTimeout(this.#timer)
    await this.#tending
    const { connection, group, consumer } = this.#context
    await Promise.all(this.#shares.map((share) => connection.run(LEAVE, [share.partition.stream], [group, consumer])))
  }

  #share(partition: Partition): Share {
    const { topic, origin, number } = partition
    const assignment: PartitionAssignment = { topic, origin, partition: number, epoch: Date.now() }
    const unsettled = new Set<string>()
    const share: Share = {
      partition,
      unsettled,
      // Immediately: entries that were returned, or abandoned long ago, wait for no other member.
      claimDue: true,
      absent: false,
      reader: new PartitionReader(this.#context, partition, assignment, '', {
        fenced: () => {},
        stray: () => {},
        groupGone: () => void this.#groupGone(assignment),
        failed: (error) => this.#lose(error),
        claimed: () => this.#claim(share),
        delivering: (deliveries) => {
          // A claim may return entries that this member already holds, after a pause longer than the limit.
          const fresh = deliveries.filter((delivery) => !unsettled.has(delivery.position as string))
          for (const delivery of fresh) unsettled.add(delivery.position as string)
          return fresh
        },
      }),
    }
    return share
  }

  async #claim(share: Share): Promise<readonly Delivery[]> {
    if (!share.claimDue) return []
    share.claimDue = false
    const { connection, group, consumer } = this.#context
    const { stream, lease, attempts } = share.partition
    const args = ['', group, consumer, this.#settings.claimIdleMs, CLAIM_LIMIT]
    const [returned, left] = (await connection.run(CLAIM, [stream, lease, attempts], args)) as [RawEntry[], RawEntry[]]
    const { assignment } = share.reader
    const given = readEntries(returned, assignment, undefined).deliveries
    const dead = readEntries(left, assignment, { suspectTo: '99999999999999999999-0' }).deliveries
    // A full page: there may be more.
    if (given.length === CLAIM_LIMIT || dead.length === CLAIM_LIMIT) share.claimDue = true
    return [...given, ...dead]
  }

  #schedule(): void {
    if (this.#left) return
    const intervalMs = Math.min(1_000, Math.ceil(this.#settings.claimIdleMs / 6))
    this.#timer = setTimeout(() => void this.#tick(), untilNextStep(intervalMs))
  }

  async #tick(): Promise<void> {
    this.#tending = this.#tend().catch((error: unknown) => this.#lose(error))
    await this.#tending
    this.#schedule()
  }

  async #tend(): Promise<void> {
    // Own entries first, or after a long pause this process would consider itself dead.
    await Promise.all(this.#shares.map((share) => this.#keep(share)))
    const { connection, group, consumer, wakeUp } = this.#context
    void wakeUp.check()
    const shares = [...this.#shares]
    const keys = shares.flatMap(({ partition }) => [partition.stream, partition.lease])
    const args = [group, consumer, FORMAT_VERSION, this.#settings.claimIdleMs]
    const [due] = await Promise.all([
      connection.run(TEND_SHARED, keys, args) as Promise<readonly number[]>,
      this.#setup.checkTopics(),
    ])
    if (this.#stopped) return
    for (const share of shares) if (share.absent) await this.#takeAgain(share)
    for (const share of due.map((index) => shares[index] as Share)) {
      share.claimDue = true
      wakeUp.wake(share.partition.stream)
    }
  }

  async #keep({ partition, unsettled }: Share): Promise<void> {
    const { connection, group, consumer } = this.#context
    const ids = [...unsettled]
    for (let start = 0; start < ids.length; start += KEEP_LIMIT)
      await connection.run(KEEP, [partition.stream], [group, consumer, ...ids.slice(start, start + KEEP_LIMIT)])
  }

  async #groupGone(assignment: PartitionAssignment): Promise<void> {
    const share = this.#shareOf(assignment)
    if (share === undefined || this.#stopped) return
    try {
      await this.#context.sink.revoked([assignment], 'graceful')
      await share.reader.stop()
      share.unsettled.clear()
      share.absent = true
      await this.#takeAgain(share)
    } catch (error) {
      this.#lose(error)
    }
  }

  /** Reads a partition again whose group was lost, once it exists. */
  async #takeAgain(share: Share): Promise<void> {
    if (!(await this.#setup.ensureIfThere(share.partition))) return
    const index = this.#shares.indexOf(share)
    if (this.#stopped || index < 0) return
    const again = this.#share(share.partition)
    this.#shares[index] = again
    this.#context.sink.assigned([again.reader.assignment])
    again.reader.start(undefined)
  }

  #shareOf(assignment: PartitionAssignment): Share | undefined {
    return this.#shares.find((share) => share.reader.assignment === assignment)
  }
}

function notAssigned(): StreamError {
  return new StreamError('the partition is not assigned any more', {
    code: 'ABORTED',
    retryable: false,
    transport: 'redis',
    operation: 'seek',
  })
}
