import type { SimulatedProcess, World } from './world.js'

interface Holding {
  readonly process: SimulatedProcess
  readonly epoch: number
}

interface PartitionLedger {
  /** Offsets of messages, in order. */
  readonly messages: number[]
  readonly handled: Set<number>
  /** Read by somebody who is no member: their order is not the owner's. */
  readonly elsewhere: Set<number>
  /** So many of `messages` are handled without a gap. */
  prefix: number
  /** Who owns the partition, as far as it knows. */
  readonly holdings: Set<Holding>
  readonly epochs: Map<number, SimulatedProcess>
  /** The highest epoch of a rightful owner. */
  highest: number
}

/** What the ledger must be told of the scripted broker, which alone knows who the owner is. */
export interface GroundTruth {
  /** The process is the partition's owner, by what the broker has told and heard. */
  isOwner(process: SimulatedProcess, partition: number): boolean
  /** It has lost the ownership by a fault that it can't have noticed yet. */
  isUnaware(process: SimulatedProcess, partition: number): boolean
  /** It can read now what others have stored. */
  canRead(process: SimulatedProcess): boolean
  /** Within this time from now a calm owner finds what others have stored, in milliseconds. */
  noticeMs(partition: number): number
}

/** Keeps what the members of a group did, and judges it. Knows nothing of the protocol. */
export class Ledger {
  readonly #world: World
  readonly #truth: GroundTruth
  readonly #partitions: PartitionLedger[]

  constructor(world: World, partitions: number, truth: GroundTruth) {
    this.#world = world
    this.#truth = truth
    this.#partitions = Array.from({ length: partitions }, () => ({
      messages: [],
      handled: new Set(),
      elsewhere: new Set(),
      prefix: 0,
      holdings: new Set(),
      epochs: new Map(),
      highest: 0,
    }))
  }

  produced(partition: number, offset: number): void {
    this.#of(partition).messages.push(offset)
  }

  /** Somebody who is no member has read it in the group: the owner may handle others first. */
  readElsewhere(partition: number, offset: number): void {
    this.#of(partition).elsewhere.add(offset)
  }

  /** A member takes a partition as its own. */
  acquired(process: SimulatedProcess, partition: number, epoch: number, stopped: boolean): void {
    const one = this.#of(partition)
    this.#world.log(process.name, `owns partition ${partition}, epoch ${epoch}`)
    if (stopped) this.#world.violate(`${process.name} took partition ${partition} after it had left`)
    const rightful = this.#act(process, partition, 'took')
    if ([...one.holdings].some((holding) => holding.process === process))
      this.#world.violate(`${process.name} took partition ${partition} twice`)
    if (one.epochs.has(epoch)) this.#world.violate(`epoch ${epoch} of partition ${partition} has two owners`)
    one.epochs.set(epoch, process)
    if (rightful && epoch <= one.highest)
      this.#world.violate(`the epoch of partition ${partition} fell from ${one.highest} to ${epoch}`)
    if (rightful) one.highest = epoch
    for (const other of one.holdings) if (other.epoch < epoch) this.#mustNotice(other, partition)
    one.holdings.add({ process, epoch })
  }

  released(process: SimulatedProcess, partition: number, epoch: number): void {
    this.#world.log(process.name, `lets go of partition ${partition}, epoch ${epoch}`)
    for (const holding of this.#of(partition).holdings)
      if (holding.process === process && holding.epoch === epoch) this.#of(partition).holdings.delete(holding)
  }

  /** Whatever the process held is gone with it. */
  died(process: SimulatedProcess): void {
    for (const { holdings } of this.#partitions)
      for (const holding of holdings) if (holding.process === process) holdings.delete(holding)
  }

  started(process: SimulatedProcess, partition: number): void {
    this.#act(process, partition, 'started a handler in')
  }

  handled(partition: number, offset: number): void {
    const one = this.#of(partition)
    const next = one.messages.find(
      (message, index) => index >= one.prefix && !one.handled.has(message) && !one.elsewhere.has(message),
    )
    if (next !== undefined && offset > next)
      this.#world.violate(`offset ${offset} of partition ${partition} was handled before ${next}`)
    one.handled.add(offset)
    while (one.handled.has(one.messages[one.prefix] ?? -1)) one.prefix += 1
  }

  /** Storing a position is no mistake now, even if it arrives when the process isn't the owner any more. */
  mayCommit(process: SimulatedProcess, partition: number): boolean {
    return this.#truth.isOwner(process, partition) || this.#truth.isUnaware(process, partition)
  }

  /**
   * The broker has stored a position: everything below `next` is done.
   *
   * @param sentRightly - what `mayCommit` was when the process sent it.
   */
  committed(process: SimulatedProcess, partition: number, next: number, sentRightly: boolean): void {
    const skipped = this.#of(partition).messages[this.#of(partition).prefix]
    if (skipped !== undefined && skipped < next)
      this.#world.violate(`${process.name} stored ${next} in partition ${partition}, but ${skipped} was never handled`)
    if (this.#truth.isOwner(process, partition)) return
    if (!sentRightly) this.#act(process, partition, 'stored a position in')
    this.#world.log(process.name, `stored ${next} in partition ${partition} too late`)
  }

  /** A position or epoch of somebody else was stored over the owner's: it must be overwritten by then. `restored` says whether it was. */
  mustRestore(partition: number, restored: () => boolean): void {
    const owner = this.holder(partition)
    if (owner === undefined) return
    const { now } = this.#world
    this.#world.clock.schedule(this.#truth.noticeMs(partition), this.#world.outside, () => {
      if (this.holder(partition) !== owner || !this.#wasCalm(owner.process, now) || restored()) return
      this.#world.violate(`${owner.process.name} hasn't overwritten what was stored too late in partition ${partition}`)
    })
  }

  /** The rightful owner that knows it. */
  holder(partition: number): Holding | undefined {
    return [...this.#of(partition).holdings].find(({ process }) => this.#truth.isOwner(process, partition))
  }

  /** What is missing for the group to be at rest; `undefined`: nothing. */
  unrest(position: (partition: number) => number | undefined): string | undefined {
    for (const [partition, one] of this.#partitions.entries()) {
      const { messages, prefix, holdings } = one
      if (this.holder(partition) === undefined) return `partition ${partition} has no owner`
      if (holdings.size > 1) return `partition ${partition} has ${holdings.size} owners`
      if (prefix < messages.length) return `offset ${messages[prefix]} of partition ${partition} isn't handled`
      const last = messages.at(-1) ?? -1
      if ((position(partition) ?? 0) <= last) return `offset ${last} of partition ${partition} isn't committed`
    }
    return undefined
  }

  /** False where the process isn't the owner, and can't know it yet. */
  #act(process: SimulatedProcess, partition: number, what: string): boolean {
    if (this.#truth.isOwner(process, partition)) return true
    if (!this.#truth.isUnaware(process, partition))
      this.#world.violate(`${process.name} ${what} partition ${partition}, which isn't its own`)
    return false
  }

  /** Another member has taken the partition with a higher epoch. */
  #mustNotice(holding: Holding, partition: number): void {
    const { now, clock, outside } = this.#world
    clock.schedule(this.#truth.noticeMs(partition), outside, () => {
      if (!this.#of(partition).holdings.has(holding) || !this.#wasCalm(holding.process, now)) return
      this.#world.violate(`${holding.process.name} holds partition ${partition} beside an owner with a higher epoch`)
    })
  }

  #wasCalm(process: SimulatedProcess, since: number): boolean {
    return !process.dead && !process.frozen && process.calmSince <= since && this.#truth.canRead(process)
  }

  #of(partition: number): PartitionLedger {
    return this.#partitions[partition] as PartitionLedger
  }
}
