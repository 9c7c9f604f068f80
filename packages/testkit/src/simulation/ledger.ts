import type { SimulatedProcess, World } from './world.js'

interface Holding {
  readonly process: SimulatedProcess
  readonly epoch: number
}

/** Messages of one key and sender, which are to be handled in order. */
interface KeyLedger {
  /** Their offsets, in order. */
  readonly messages: number[]
  /** So many of them are handled without a gap. */
  prefix: number
}

interface PartitionLedger {
  /** By key and sender. */
  readonly keys: readonly KeyLedger[]
  readonly handled: Set<number>
  /** Handled once, also before the group was moved. */
  readonly ever: Set<number>
  /** Read by somebody who is no member: their order is not the owner's. */
  readonly elsewhere: Set<number>
  /** Running handlers, by offset. */
  readonly running: Map<number, Set<SimulatedProcess>>
  /** Who owns the partition, as far as it knows. */
  readonly holdings: Set<Holding>
  readonly epochs: Map<number, SimulatedProcess>
  /** The highest epoch of a rightful owner. */
  highest: number
}

/** What the ledger must be told of the scripted broker, which alone knows who the owner is. */
export interface GroundTruth {
  /**
   * What keeps former owners out. `epochs`: an owner takes a partition once the broker has named it, under an epoch of its own that is higher
   * than all before. `deliveries`: the broker hands messages to one owner only and refuses the acks of others; members may take a partition before, and their
   * epochs rise within each process. `sender`: all members share a partition, and the sender decides who gets a message. `entries`: all members share a
   * partition, the broker decides who gets a message, and there is no order.
   */
  readonly fencing: 'epochs' | 'deliveries' | 'sender' | 'entries'
  /** How many keys the messages of a partition have, in turns. Those of one key are handled one at a time by each member. */
  readonly keys: number
  /** How many senders write each key, in turns. Messages of a key are handled in order within each sender. */
  readonly senders: number
  /** So many of a hundred handlings follow one that failed, so that their start is put on record. Default 0. */
  readonly repeatedPercent?: number
  /** The process is the partition's owner, by what the broker has told and heard. */
  isOwner(process: SimulatedProcess, partition: number): boolean
  /** It has lost the ownership by a fault that it can't have noticed yet. */
  isUnaware(process: SimulatedProcess, partition: number): boolean
  /** It can read now what others have stored. */
  canRead(process: SimulatedProcess): boolean
  /** Within this time from now a calm owner finds what others have stored, in milliseconds. */
  noticeMs(partition: number): number
  /** The process received the message before the group was moved: it is redelivered. Default: groups aren't moved. */
  isOutdated?(process: SimulatedProcess, partition: number, offset: number): boolean
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
      keys: Array.from({ length: truth.keys * truth.senders }, () => ({ messages: [], prefix: 0 })),
      handled: new Set(),
      ever: new Set(),
      elsewhere: new Set(),
      running: new Map(),
      holdings: new Set(),
      epochs: new Map(),
      highest: 0,
    }))
  }

  get repeatedPercent(): number {
    return this.#truth.repeatedPercent ?? 0
  }

  produced(partition: number, offset: number): void {
    this.#orderOf(partition, offset).messages.push(offset)
  }

  /** Messages with the same number are handled one at a time. */
  keyOf(offset: number): number {
    const { keys, senders } = this.#truth
    return Math.floor((offset % (keys * senders)) / senders)
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
    const { fencing } = this.#truth
    if (fencing === 'sender') return void one.holdings.add({ process, epoch })
    if ([...one.holdings].some((holding) => holding.process === process))
      this.#world.violate(`${process.name} took partition ${partition} twice`)
    if (fencing === 'entries') return void one.holdings.add({ process, epoch })
    this.#world.judge('epochs rise')
    if (fencing === 'deliveries') {
      for (const [earlier, owner] of one.epochs)
        if (owner === process && earlier >= epoch)
          this.#world.violate(`the epoch of partition ${partition} fell from ${earlier} to ${epoch} in ${process.name}`)
      one.epochs.set(epoch, process)
      one.holdings.add({ process, epoch })
      return
    }
    const rightful = this.#act(process, partition, 'took')
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
    for (const { holdings, running } of this.#partitions) {
      for (const holding of holdings) if (holding.process === process) holdings.delete(holding)
      for (const processes of running.values()) processes.delete(process)
    }
  }

  /** A handler begins. None of the same key may be running elsewhere, in a process that could know better. */
  started(process: SimulatedProcess, partition: number, offset: number): void {
    const rightful = this.#act(process, partition, 'started a handler in')
    const { running } = this.#of(partition)
    this.#world.judge('order')
    for (const [at, processes] of running)
      for (const other of processes)
        if (rightful && this.keyOf(at) === this.keyOf(offset) && this.#excludes(process, other, partition))
          this.#world.violate(
            `${process.name} started offset ${offset} of partition ${partition} while ${other.name} was still at ${at}`,
          )
    running.set(offset, (running.get(offset) ?? new Set()).add(process))
  }

  /** A handler has ended, or its signal was aborted. */
  ended(process: SimulatedProcess, partition: number, offset: number): void {
    const { running } = this.#of(partition)
    running.get(offset)?.delete(process)
    if (running.get(offset)?.size === 0) running.delete(offset)
  }

  handled(process: SimulatedProcess, partition: number, offset: number): void {
    const { handled, ever, elsewhere } = this.#of(partition)
    ever.add(offset)
    if (this.#truth.isOutdated?.(process, partition, offset) === true) return
    const key = this.#orderOf(partition, offset)
    const next = key.messages.find(
      (message, index) => index >= key.prefix && !handled.has(message) && !elsewhere.has(message),
    )
    if (next !== undefined && offset > next && this.#truth.fencing !== 'entries')
      this.#world.violate(`offset ${offset} of partition ${partition} was handled before ${next}`)
    this.#done(partition, offset)
  }

  /** The message is gone, whoever has read it: nobody need handle it any more. */
  removed(partition: number, offset: number): void {
    this.#done(partition, offset)
  }

  /** A member has moved the group: what comes before is left out, what comes from there on is handled once more. */
  moved(partition: number, next: number): void {
    const { keys, handled, elsewhere } = this.#of(partition)
    for (const key of keys) {
      for (const offset of key.messages) {
        if (offset < next) handled.add(offset)
        else handled.delete(offset)
        if (offset >= next) elsewhere.delete(offset)
      }
      key.prefix = 0
      this.#advance(key, handled)
    }
  }

  #done(partition: number, offset: number): void {
    const { handled } = this.#of(partition)
    handled.add(offset)
    this.#advance(this.#orderOf(partition, offset), handled)
  }

  #advance(key: KeyLedger, handled: ReadonlySet<number>): void {
    while (handled.has(key.messages[key.prefix] ?? -1)) key.prefix += 1
  }

  /** The process runs a handler of it. */
  isRunning(process: SimulatedProcess, partition: number, offset: number): boolean {
    return this.#of(partition).running.get(offset)?.has(process) === true
  }

  isHandled(partition: number, offset: number): boolean {
    return this.#of(partition).handled.has(offset)
  }

  /** The broker has forgotten a message: it is done, also if it was handled before the group was moved. */
  acked(process: SimulatedProcess, partition: number, offset: number): void {
    this.#world.judge('nothing skipped')
    const { handled, ever } = this.#of(partition)
    if (!ever.has(offset) && !handled.has(offset))
      this.#world.violate(`${process.name} acked offset ${offset} of partition ${partition}, which was never handled`)
    else this.#done(partition, offset)
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
    this.#world.judge('nothing skipped')
    const skipped = this.#unhandled(partition)
    if (skipped !== undefined && skipped < next)
      this.#world.violate(`${process.name} stored ${next} in partition ${partition}, but ${skipped} was never handled`)
    if (this.#truth.isOwner(process, partition)) return
    this.#world.judge('late saves')
    if (!sentRightly) this.#act(process, partition, 'stored a position in')
    this.#world.log(process.name, `stored ${next} in partition ${partition} too late`)
  }

  /** A position or epoch of somebody else was stored over the owner's: it must be overwritten by then. `restored` says whether it was. */
  mustRestore(partition: number, restored: () => boolean): void {
    const owner = this.holder(partition)
    if (owner === undefined) return
    const { now } = this.#world
    this.#world.clock.schedule(this.#truth.noticeMs(partition), this.#world.outside, () => {
      if (this.holder(partition) !== owner || !this.wasCalm(owner.process, now)) return
      this.#world.judge('late saves')
      if (restored()) return
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
      const { holdings, keys } = one
      if (this.#hasOwners) {
        if (this.holder(partition) === undefined) return `partition ${partition} has no owner`
        if (holdings.size > 1) return `partition ${partition} has ${holdings.size} owners`
      }
      const unhandled = this.#unhandled(partition)
      if (unhandled !== undefined) return `offset ${unhandled} of partition ${partition} isn't handled`
      const last = Math.max(-1, ...keys.map(({ messages }) => messages.at(-1) ?? -1))
      if ((position(partition) ?? 0) <= last) return `offset ${last} of partition ${partition} isn't committed`
    }
    return undefined
  }

  /** A sender that has got no answer sends a message again, also to a process that still has it in hand. */
  get isResent(): boolean {
    return this.#truth.fencing === 'sender'
  }

  /** A partition has one owner at a time. */
  get #hasOwners(): boolean {
    return this.#truth.fencing === 'epochs' || this.#truth.fencing === 'deliveries'
  }

  /** Both may not handle a key at the same time. A sender that has lost a connection may have turned to another process meanwhile. */
  #excludes(process: SimulatedProcess, other: SimulatedProcess, partition: number): boolean {
    if (!this.#hasOwners) return process === other
    return process !== other && !this.#truth.isUnaware(other, partition)
  }

  /** False where the process isn't the owner, and can't know it yet. */
  #act(process: SimulatedProcess, partition: number, what: string): boolean {
    if (this.#hasOwners) this.#world.judge('one owner')
    if (this.#truth.isOwner(process, partition)) return true
    if (!this.#truth.isUnaware(process, partition))
      this.#world.violate(`${process.name} ${what} partition ${partition}, which isn't its own`)
    return false
  }

  /** Another member has taken the partition with a higher epoch. */
  #mustNotice(holding: Holding, partition: number): void {
    const { now, clock, outside } = this.#world
    clock.schedule(this.#truth.noticeMs(partition), outside, () => {
      if (!this.#of(partition).holdings.has(holding) || !this.wasCalm(holding.process, now)) return
      this.#world.violate(`${holding.process.name} holds partition ${partition} beside an owner with a higher epoch`)
    })
  }

  /** Nothing has disturbed the process since then. */
  wasCalm(process: SimulatedProcess, since: number): boolean {
    return !process.dead && !process.frozen && process.calmSince <= since && this.#truth.canRead(process)
  }

  /** The lowest offset that was never handled. */
  #unhandled(partition: number): number | undefined {
    const next = this.#of(partition).keys.map(({ messages, prefix }) => messages[prefix])
    const offsets = next.filter((offset) => offset !== undefined)
    return offsets.length === 0 ? undefined : Math.min(...offsets)
  }

  #orderOf(partition: number, offset: number): KeyLedger {
    const { keys, senders } = this.#truth
    return this.#of(partition).keys[offset % (keys * senders)] as KeyLedger
  }

  #of(partition: number): PartitionLedger {
    return this.#partitions[partition] as PartitionLedger
  }
}
