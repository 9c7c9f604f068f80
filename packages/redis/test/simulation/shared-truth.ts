import type { GroundTruth, SimulatedProcess, World } from '@streamswitch/testkit/simulation'
import type { Partition } from '../../src/keys.js'
import { RedisTruth, type TruthSettings } from './redis-truth.js'
import type { Execution } from './scripted-broker.js'
import type { Claim } from './scripted-store.js'
import type { EntryId } from './scripted-stream.js'

/** Consumer that holds what members gave back. */
const GIVEN_BACK = 'streamswitch-given-back'
/** A live member shows that its entries are its own at least this often, in milliseconds; a claim may be this late. */
const KEEP_MS = 2_000

interface SharedSettings extends TruthSettings {
  readonly claimIdleMs: number
}

/** Who has which entries of a group whose members share the partitions, and whether each command may take or settle them. */
export class SharedTruth extends RedisTruth {
  override readonly fencing: GroundTruth['fencing'] = 'entries'
  override readonly keys = 3
  readonly #claimIdleMs: number
  readonly #leases: ReadonlyMap<string, number>
  /** Consumers, by name. */
  readonly #members = new Map<string, SimulatedProcess>()
  /** When the server's clock was set last. */
  #clockSetAt = Number.NEGATIVE_INFINITY

  constructor(world: World, partitions: readonly Partition[], settings: SharedSettings) {
    super(world, partitions, settings)
    this.#claimIdleMs = settings.claimIdleMs
    this.#leases = new Map(partitions.map(({ lease }, index) => [lease, index]))
  }

  override knows(process: SimulatedProcess, consumer: string): void {
    this.#members.set(consumer, process)
  }

  override clockSet(): void {
    this.#clockSetAt = this.world.now
  }

  override isOwner(): boolean {
    return true
  }

  override isUnaware(): boolean {
    return false
  }

  override leftover(members: readonly SimulatedProcess[]): string | undefined {
    return this.tooManyConnections(members)
  }

  override hashChanged(key: string, by: Execution | undefined): void {
    const partition = this.#leases.get(key)
    const position = this.broker?.store.hash(key)?.get('position')
    if (partition !== undefined && by !== undefined && position !== undefined) this.noted(by, partition, position)
  }

  override claimed(key: string, group: string, claim: Claim, by: Execution | undefined): void {
    super.claimed(key, group, claim, by)
    const partition = this.partitionOf(key)
    const { id, from, to, idleMs } = claim
    if (partition === undefined || by === undefined || from === to) return
    const { name } = by.process
    const what = `offset ${this.offsetOf(partition, id)} of partition ${partition}`
    if (this.#members.get(to) !== by.process) {
      this.world.count('give back')
      if (to !== GIVEN_BACK || this.#members.get(from) !== by.process)
        this.world.violate(`${name} gave ${what} of '${from}' to '${to}'`)
      return
    }
    if (from === GIVEN_BACK) return
    this.world.judge('claims of the dead only')
    this.world.count('claim')
    if (idleMs < this.#claimIdleMs)
      this.world.violate(`${name} took ${what} from '${from}', which had shown itself ${idleMs} ms ago`)
    else this.#mustBeDead(by, partition, claim)
  }

  /** A former consumer that lives, and has been disturbed by nothing, has kept what it handles. */
  #mustBeDead({ process: heir }: Execution, partition: number, { id, from }: Claim): void {
    const former = this.#members.get(from)
    const since = this.world.now - this.#claimIdleMs - KEEP_MS
    if (former === undefined || former.dead || this.#clockSetAt >= since) return
    const offset = this.offsetOf(partition, id)
    if (this.ledger?.isRunning(former, partition, offset) !== true || !this.ledger.wasCalm(former, since)) return
    this.world.violate(
      `${heir.name} took offset ${offset} of partition ${partition} from ${former.name}, which handles it`,
    )
  }

  /** Whoever has handled it may settle it. */
  protected override acked({ process }: Execution, partition: number, ids: readonly EntryId[]): void {
    for (const id of ids) this.ledger?.acked(process, partition, this.offsetOf(partition, id))
  }

  protected override moved(): void {}
}
