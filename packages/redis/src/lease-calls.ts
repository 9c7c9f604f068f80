import type { Connection } from './connection.js'
import { HEARTBEAT, MEMBERS, RELEASE, TAKE } from './group-scripts.js'
import { changesKey, FORMAT_VERSION, membersKey, type Partition } from './keys.js'
import type { RedisSettings } from './options.js'

/** A lease that was taken. */
export interface TakenLease {
  readonly epoch: number
  /** Fences every call about the partition. */
  readonly token: string
  /** Pending entries up to this id may have been running when a member died. */
  readonly suspectTo: string | undefined
  /** Those of them that the last owner gave back in good order. */
  readonly returned: ReadonlySet<string>
  /** Entries that an earlier owner left unsettled. */
  readonly pending: number
}

/** The calls by which a member of a group announces itself and manages its leases. */
export class LeaseCalls {
  readonly owner: string
  readonly #connection: Connection
  readonly #group: string
  readonly #consumer: string
  readonly #settings: RedisSettings

  /** @param consumer - the one that pending entries of the group belong to, whatever the owner. */
  constructor(connection: Connection, group: string, consumer: string, owner: string, settings: RedisSettings) {
    this.#connection = connection
    this.#group = group
    this.#consumer = consumer
    this.owner = owner
    this.#settings = settings
  }

  /** Records that this member lives, leaves or has released a partition. Returns the live members, sorted. */
  async members(brokerTopic: string, what: 'live' | 'leave' | 'gave'): Promise<string[]> {
    const keys = [membersKey(brokerTopic, this.#group), changesKey(brokerTopic, this.#group)]
    const reply = await this.#connection.run(MEMBERS, keys, [this.owner, this.#settings.leaseMs, what])
    return (reply as Buffer[]).map(String).sort()
  }

  /**
   * Renews the leases whose tokens are given ('' for others) and stores the positions ('' for unknown ones). Returns
   * for each partition its owner, and the foreign consumer that has pending entries, as the script replies.
   */
  async heartbeat(
    partitions: readonly Partition[],
    tokens: readonly string[],
    positions: readonly string[],
  ): Promise<{ readonly owners: string[]; readonly foreign: string[] }> {
    const keys = partitions.flatMap((partition) => [partition.stream, partition.lease])
    const { claimIdleMs, leaseMs } = this.#settings
    const args = [this.#group, this.owner, leaseMs, this.#consumer, claimIdleMs, ...tokens, ...positions]
    const reply = (await this.#connection.run(HEARTBEAT, keys, args)) as readonly Buffer[][]
    const [owners = [], foreign = []] = reply.map((list) => list.map(String))
    return { owners, foreign }
  }

  /** Takes a lease; `undefined` when another member has it. */
  async take(partition: Partition): Promise<TakenLease | undefined> {
    const args = [this.#group, this.owner, this.#settings.leaseMs, FORMAT_VERSION]
    const reply = await this.#connection.run(TAKE, [partition.stream, partition.lease], args)
    const [epoch, suspectTo, pending, returned] = reply as [Buffer, Buffer, number, Buffer]
    if (epoch.length === 0) return undefined
    return {
      epoch: Number(epoch),
      token: `${epoch.toString()}:${this.owner}`,
      suspectTo: suspectTo.length === 0 ? undefined : suspectTo.toString(),
      returned: new Set(returned.toString().split(' ')),
      pending,
    }
  }

  async release(partition: Partition, token: string): Promise<void> {
    await this.#connection.run(RELEASE, [partition.stream, partition.lease, partition.attempts], [token])
  }
}
