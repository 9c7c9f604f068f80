import { type ConsumerSpec, type PartitionAssignment, StreamError, untilNextStep } from '@streamswitch/core/driver'
import { balance } from './balance.js'
import { FENCED } from './group-scripts.js'
import type { GroupSetup } from './group-setup.js'
import { changesKey, type Partition } from './keys.js'
import { LeaseCalls, type TakenLease } from './lease-calls.js'
import type { Membership } from './membership.js'
import type { RedisSettings } from './options.js'
import { PartitionReader, type ReaderContext } from './partition-reader.js'
import { RetentionKeeper } from './retention.js'

interface Holding {
  readonly partition: Partition
  reader: PartitionReader
  releasing: boolean
}

/** Maximum wait for running handlers when a partition is handed over, in milliseconds. */
const HANDOVER_MS = 10_000

/**
 * Distributes partitions by leases, so that each has one reader at a time and its keys keep their order: the server's
 * clock decides when a lease has expired, and every read and ack checks the lease on the server.
 */
export class LeaseMembership implements Membership {
  readonly #context: ReaderContext
  readonly #settings: RedisSettings
  readonly #spec: ConsumerSpec
  readonly #setup: GroupSetup
  readonly #calls: LeaseCalls
  readonly #partitions: readonly Partition[]
  readonly #retention: RetentionKeeper
  readonly #held = new Map<Partition, Holding>()
  readonly #lose: (error: unknown) => void
  #timer: NodeJS.Timeout | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #looking = false
  #lookAgain = false
  #onShare: () => void = () => {}
  #beating: Promise<void> = Promise.resolve()
  #stopped = false
  #left = false

  constructor(
    context: ReaderContext,
    settings: RedisSettings,
    spec: ConsumerSpec,
    setup: GroupSetup,
    owner: string,
    partitions: readonly Partition[],
    lose: (error: unknown) => void,
  ) {
    this.#context = context
    this.#settings = settings
    this.#spec = spec
    this.#setup = setup
    this.#calls = new LeaseCalls(context.connection, context.group, context.consumer, owner, settings)
    this.#partitions = partitions
    this.#lose = lose
    this.#retention = new RetentionKeeper(context.connection, settings, spec)
  }

  async join(): Promise<void> {
    const { sink, wakeUp, group } = this.#context
    await this.#retention.open()
    await Promise.all(
      this.#topics().map(([brokerTopic]) => wakeUp.listen(changesKey(brokerTopic, group), () => this.#look())),
    )
    const hungry = await this.#inTurn(() => this.#beat())
    this.#schedule(hungry)
    // Other members release this member's share as soon as they learn of it, unless their handlers are slow.
    if (hungry && this.#held.size === 0) await this.#firstShare()
    if (this.#held.size === 0) sink.assigned([])
  }

  tokenOf(assignment: PartitionAssignment): string | undefined {
    return this.#holdingOf(assignment)?.reader.token
  }

  fenced(assignment: PartitionAssignment): void {
    const holding = this.#holdingOf(assignment)
    if (holding !== undefined) this.#drop(holding)
  }

  acked(): void {}

  /** Unsettled entries stay pending: the next owner of the partition begins with them. */
  async release(): Promise<void> {}

  async restart(assignment: PartitionAssignment, move: (token: string) => Promise<void>): Promise<void> {
    const holding = this.#holdingOf(assignment)
    if (holding === undefined) throw notHeld(assignment)
    await holding.reader.stop()
    await this.#inTurn(async () => {
      if (this.#stopped) throw notHeld(assignment)
      await move(holding.reader.token)
      this.#held.delete(holding.partition)
      if (!(await this.#take([holding.partition]))) throw notHeld(assignment)
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all([...this.#held.values()].map((holding) => holding.reader.stop()))
  }

  async leave(): Promise<void> {
    this.#stopped = true
    this.#left = true
    clearTimeout(this.#timer)
    await this.#beating
    await this.#turn
    await Promise.all([...this.#held.values()].map((holding) => this.#giveBack(holding)))
    await Promise.all(this.#topics().map(([brokerTopic]) => this.#calls.members(brokerTopic, 'leave')))
  }

  // Heartbeats.

  #schedule(hungry: boolean): void {
    if (this.#left) return
    const { heartbeatMs } = this.#settings
    clearTimeout(this.#timer)
    // A member below its share checks more often, in case it missed a change.
    const everyMs = hungry ? Math.ceil(heartbeatMs / 4) : heartbeatMs
    // All loops of a process in the same turn, which wakes it once for all of them; processes are spread.
    this.#timer = setTimeout(() => this.#look(), untilNextStep(everyMs))
  }

  /** A heartbeat now, or right after the one in flight. */
  #look(): void {
    if (this.#left) return
    this.#lookAgain = true
    if (this.#looking) return
    this.#looking = true
    this.#beating = this.#lookOften().catch((error: unknown) => this.#lose(error))
  }

  async #lookOften(): Promise<void> {
    let hungry = false
    try {
      while (this.#lookAgain && !this.#left) {
        this.#lookAgain = false
        hungry = await this.#inTurn(() => this.#beat())
      }
    } finally {
      this.#looking = false
    }
    this.#schedule(hungry)
  }

  /** Heartbeats and restarts take leases: one after the other, or a lease would be taken twice. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => {})
    return result
  }

  /** Resolves when this member has a partition, or has waited long enough to continue without. */
  #firstShare(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#settings.heartbeatMs)
      this.#onShare = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** Renews, hands over, takes. Returns whether this member is below its share. */
  async #beat(): Promise<boolean> {
    void this.#context.wakeUp.check()
    const [shares] = await Promise.all([
      Promise.all(this.#topics().map(([brokerTopic, partitions]) => this.#share(brokerTopic, partitions))),
      this.#setup.checkTopics(),
    ])
    if (this.#stopped) return false
    for (const share of shares) for (const partition of share.release) this.#handOver(partition)
    await this.#take(shares.flatMap((share) => share.take))
    const held = [...this.#held.values()].filter((holding) => !holding.releasing).map((holding) => holding.partition)
    this.#retention.keep(held)
    return shares.some((share) => share.hungry)
  }

  async #share(
    brokerTopic: string,
    partitions: readonly Partition[],
  ): Promise<{ take: Partition[]; release: Partition[]; hungry: boolean }> {
    const holdings = partitions.map((partition) => this.#held.get(partition))
    const tokens = holdings.map((holding) => holding?.reader.token ?? '')
    const positions = holdings.map((holding) => holding?.reader.lastId ?? '')
    const [members, { owners, foreign }] = await Promise.all([
      this.#calls.members(brokerTopic, 'live'),
      this.#calls.heartbeat(partitions, tokens, positions),
    ])
    for (const [index, holding] of holdings.entries()) {
      if (owners[index] !== FENCED || holding === undefined) continue
      owners[index] = 'another'
      this.#drop(holding)
    }
    for (const [index, consumer] of foreign.entries()) if (consumer !== '') this.#takeForeign(holdings[index], consumer)
    const releasing = new Set([...holdings.keys()].filter((index) => holdings[index]?.releasing === true))
    const me = this.#calls.owner
    const plan = balance({ me, members: members.includes(me) ? members : [...members, me].sort(), owners, releasing })
    const pick = (indexes: readonly number[]): Partition[] => indexes.map((index) => partitions[index] as Partition)
    return { take: pick(plan.take), release: pick(plan.release), hungry: plan.hungry }
  }

  // Taking and releasing.

  /** Returns whether all of them were taken. */
  async #take(partitions: readonly Partition[]): Promise<boolean> {
    if (this.#stopped) return false
    const taken = await Promise.all(partitions.map((partition) => this.#takeOne(partition)))
    const starts = taken.filter((one) => one !== undefined)
    for (const { holding } of starts) this.#held.set(holding.partition, holding)
    // Taken while the loop stopped: released when it leaves.
    if (this.#stopped) return false
    if (starts.length > 0) this.#context.sink.assigned(starts.map(({ holding }) => holding.reader.assignment))
    for (const { holding, lease } of starts) holding.reader.start(lease.pending > 0 ? lease : undefined)
    if (starts.length > 0) this.#onShare()
    return starts.length === partitions.length
  }

  async #takeOne(partition: Partition): Promise<{ holding: Holding; lease: TakenLease } | undefined> {
    if (!(await this.#setup.ensureIfThere(partition))) return undefined
    const lease = await this.#calls.take(partition)
    if (lease === undefined) return undefined
    const { topic, origin, number } = partition
    const assignment = { topic, origin, partition: number, epoch: lease.epoch }
    const reader = new PartitionReader(this.#context, partition, assignment, lease.token, {
      fenced: () => this.fenced(assignment),
      stray: () => void this.#startOver(assignment),
      groupGone: () => void this.#startOver(assignment),
      failed: (error) => this.#lose(error),
    })
    return { holding: { partition, reader, releasing: false }, lease }
  }

  /** Hands a partition over: running handlers end and are acked first. The lease is renewed meanwhile. */
  #handOver(partition: Partition): void {
    const holding = this.#held.get(partition)
    if (holding === undefined || holding.releasing) return
    holding.releasing = true
    const give = async (): Promise<void> => {
      await holding.reader.stop()
      await this.#context.sink.revoked([holding.reader.assignment], 'graceful', HANDOVER_MS)
      await this.#giveBack(holding)
      await this.#calls.members(this.#brokerTopicOf(partition), 'gave')
    }
    void give().catch((error: unknown) => this.#lose(error))
  }

  async #giveBack(holding: Holding): Promise<void> {
    if (this.#held.get(holding.partition) !== holding) return
    const { partition, reader } = holding
    await this.#calls.release(partition, reader.token)
    this.#held.delete(partition)
  }

  #drop(holding: Holding): void {
    if (this.#held.get(holding.partition) !== holding) return
    this.#held.delete(holding.partition)
    void holding.reader.stop()
    void this.#context.sink.revoked([holding.reader.assignment], 'lost')
  }

  /**
   * Running handlers end, the group is recreated at its stored position if it is missing and may be, and the partition
   * starts with its pending entries.
   */
  async #startOver(assignment: PartitionAssignment): Promise<void> {
    const holding = this.#holdingOf(assignment)
    if (holding === undefined || this.#stopped) return
    const { partition, reader } = holding
    try {
      await this.#context.sink.revoked([assignment], 'graceful', HANDOVER_MS)
      await reader.stop()
      await this.#inTurn(async () => {
        // Released or lost meanwhile: a heartbeat takes it if it is due again.
        if (this.#held.get(partition) !== holding) return
        this.#held.delete(partition)
        // If it can't be taken now, a heartbeat takes it once it can.
        if (!(await this.#take([partition]))) await this.#calls.release(partition, reader.token)
      })
    } catch (error) {
      this.#lose(error)
    }
  }

  /** Entries that another client has read in this group and not acked would wait until the partition moves. */
  #takeForeign(holding: Holding | undefined, consumer: string): void {
    if (holding === undefined || holding.releasing || this.#held.get(holding.partition) !== holding) return
    holding.releasing = true
    const { topic, number } = holding.partition
    this.#context.sink.report(
      new StreamError(
        `consumer '${consumer}', which is not a loop of this transport, has read messages of partition ${number} of '${topic}' in group '${this.#spec.group}' and has not acked them for ${this.#settings.claimIdleMs} ms (claimIdleMs): they are handled here. Use a separate group for it`,
        { code: 'CONFLICT', retryable: false, transport: 'redis', operation: 'consume', topic },
      ),
    )
    void this.#startOver(holding.reader.assignment)
  }

  #holdingOf(assignment: PartitionAssignment): Holding | undefined {
    for (const holding of this.#held.values()) if (holding.reader.assignment === assignment) return holding
    return undefined
  }

  #brokerTopicOf(partition: Partition): string {
    return this.#spec.topics.find((topic) => topic.topic === partition.topic)?.brokerTopic ?? partition.stream
  }

  #topics(): [string, Partition[]][] {
    return this.#spec.topics.map((topic) => [
      topic.brokerTopic,
      this.#partitions.filter((partition) => partition.topic === topic.topic),
    ])
  }
}

function notHeld(assignment: PartitionAssignment): StreamError {
  return new StreamError(`partition ${assignment.partition} of '${assignment.topic}' is not assigned to this member`, {
    code: 'ABORTED',
    retryable: false,
    transport: 'redis',
    operation: 'seek',
    topic: assignment.topic,
  })
}
