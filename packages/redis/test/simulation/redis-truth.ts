import type { GroundTruth, Ledger, SimulatedProcess, World } from '@streamswitch/testkit/simulation'
import type { Partition } from '../../src/keys.js'
import type { Reply } from './replies.js'
import type { BrokerEvents, Execution, ScriptedBroker } from './scripted-broker.js'
import type { ScriptedClient } from './scripted-client.js'
import type { Claim, GroupChange } from './scripted-store.js'
import { compareIds, type EntryId, parseId, type ScriptedGroup, type ScriptedStream } from './scripted-stream.js'

/** Calls and turns of a calm member take no longer than this on top of its heartbeats, in milliseconds. */
const CALM_MS = 1_000

/** When most can go wrong: a member has just been given entries or a lease, has given one back, or has moved the group. */
export type Moment = 'read' | 'taken' | 'given back' | 'moved'

/** The lease of a partition, as it was after the last command. */
interface Lease {
  token: string
  owner: string
  until: string
  position: string
  /** Of all that were ever taken. */
  highestEpoch: number
  /** So many messages the group had settled. */
  settled: number
}

/** A lease that was taken. */
interface Taken {
  /** The process has given it back, or the answer that says that it is another's has arrived. */
  told: boolean
}

export interface TruthSettings {
  readonly group: string
  readonly heartbeatMs: number
  readonly moment: (moment: Moment, process: SimulatedProcess, partition: number) => void
}

/** Who owns what, by the keys of the scripted server; and whether each command may change what it changes. */
export class RedisTruth implements GroundTruth, BrokerEvents {
  readonly fencing: GroundTruth['fencing'] = 'epochs'
  readonly keys: number = 1
  readonly senders = 1
  readonly repeatedPercent = 10
  protected readonly world: World
  readonly #partitions: readonly Partition[]
  readonly #group: string
  readonly #heartbeatMs: number
  readonly #leases: readonly Lease[]
  /** By partition and token: a member that takes several at once gets the same token for each. */
  readonly #taken = new Map<string, Taken>()
  readonly #leaseKeys: ReadonlyMap<string, number>
  /** The last token of a process in each partition. */
  readonly #lastTokens = new Map<SimulatedProcess, Map<number, string>>()
  readonly #owners = new Map<string, SimulatedProcess>()
  readonly #disturbedUntil = new Map<SimulatedProcess, number>()
  readonly #clients = new Map<SimulatedProcess, Set<ScriptedClient>>()
  /** Entries that a process has read when the partition was another's, as partition and id. */
  readonly #readTooLate = new Map<SimulatedProcess, Set<string>>()
  /** How often each partition's group has been moved. */
  readonly #moves = new Map<number, number>()
  /** By process, partition and offset: how often the group had been moved when the entry was read last. */
  readonly #readAfter = new Map<string, number>()
  /** Partitions whose groups the present command has changed. */
  readonly #changed = new Set<number>()
  readonly #moved = new Set<number>()
  readonly #acked: { readonly partition: number; readonly ids: readonly EntryId[] }[] = []
  broker: ScriptedBroker | undefined
  ledger: Ledger | undefined
  readonly #moment: (moment: Moment, process: SimulatedProcess, partition: number) => void

  constructor(world: World, partitions: readonly Partition[], { group, heartbeatMs, moment }: TruthSettings) {
    this.world = world
    this.#partitions = partitions
    this.#group = group
    this.#moment = moment
    this.#heartbeatMs = heartbeatMs
    this.#leaseKeys = new Map(partitions.map(({ lease }, index) => [lease, index]))
    this.#leases = partitions.map(() => ({
      token: '',
      owner: '',
      until: '',
      position: '',
      highestEpoch: 0,
      settled: 0,
    }))
  }

  /** @param owner - what its leases are marked with. */
  knows(process: SimulatedProcess, owner: string): void {
    this.#owners.set(owner, process)
  }

  /** The server's clock is another one from now on. */
  clockSet(): void {}

  /** Nothing can be expected of a process for so long. */
  disturbed(process: SimulatedProcess, ms: number): void {
    const until = this.world.now + ms + this.noticeMs()
    this.#disturbedUntil.set(process, Math.max(this.#disturbedUntil.get(process) ?? 0, until))
  }

  connected(process: SimulatedProcess, client: ScriptedClient): void {
    const clients = this.#clients.get(process) ?? new Set()
    clients.add(client)
    this.#clients.set(process, clients)
  }

  clientsOf(process: SimulatedProcess): ScriptedClient[] {
    const clients = this.#clients.get(process) ?? new Set()
    for (const client of clients) if (client.ended && !client.session.open) clients.delete(client)
    return [...clients]
  }

  // What is true.

  isOwner(process: SimulatedProcess, partition: number): boolean {
    return this.#owners.get(this.#lease(partition).owner) === process && this.#lease(partition).token !== ''
  }

  isUnaware(process: SimulatedProcess, partition: number): boolean {
    const token = this.#lastTokens.get(process)?.get(partition)
    const told = this.#taken.get(`${partition} ${token}`)?.told
    return told === false && this.#lease(partition).token !== token
  }

  canRead(process: SimulatedProcess): boolean {
    if (this.world.now < (this.#disturbedUntil.get(process) ?? 0)) return false
    const clients = this.clientsOf(process).filter((client) => !client.ended)
    return clients.length > 0 && clients.every((client) => client.usable)
  }

  isOutdated(process: SimulatedProcess, partition: number, offset: number): boolean {
    const readAfter = this.#readAfter.get(`${process.name} ${partition} ${offset}`)
    return readAfter !== undefined && readAfter !== this.#movesOf(partition)
  }

  noticeMs(): number {
    return this.#heartbeatMs + CALM_MS
  }

  position(partition: number): number | undefined {
    const found = this.#groupOf(partition)
    return found === undefined ? undefined : found.stream.settledBefore(found.group)
  }

  /** A connection that a live member uses and that is of no use. */
  aftermath(members: readonly SimulatedProcess[]): string | undefined {
    for (const process of members)
      if (this.clientsOf(process).some((client) => client.inUse && !client.usable))
        return `${process.name} has a broken connection and doesn't know it`
    return undefined
  }

  /** What must not be there at rest. */
  leftover(members: readonly SimulatedProcess[]): string | undefined {
    const counts = new Map(members.map((process) => [process, 0]))
    for (const [partition, { owner }] of this.#leases.entries()) {
      const process = this.#owners.get(owner)
      if (process === undefined || !counts.has(process)) return `partition ${partition} belongs to nobody that lives`
      counts.set(process, (counts.get(process) as number) + 1)
    }
    const shares = [...counts.values()]
    if (Math.max(...shares) - Math.min(...shares) > 1)
      return `partitions aren't shared out evenly: ${[...counts].map(([{ name }, count]) => `${name} has ${count}`).join(', ')}`
    return this.tooManyConnections(members)
  }

  protected tooManyConnections(members: readonly SimulatedProcess[]): string | undefined {
    for (const process of members) {
      const open = this.clientsOf(process).filter((client) => client.inUse).length
      if (open > 2) return `${process.name} has ${open} connections`
    }
    return undefined
  }

  protected offsetOf(partition: number, id: EntryId): number {
    return this.broker?.store.stream((this.#partitions[partition] as Partition).stream)?.offsetOf(id) ?? -1
  }

  /** The process is given entries of a partition. */
  delivered(process: SimulatedProcess, partition: number, ids: readonly string[]): void {
    const late = ids.find((id) => this.#readTooLate.get(process)?.has(`${partition} ${id}`))
    if (late !== undefined)
      this.world.violate(`${process.name} is given ${late} of partition ${partition}, read when it was another's`)
  }

  /** Entries of a group are gone by a fault: it may begin again at what was noted last. */
  groupLost(partition: number): void {
    this.#lease(partition).settled = 0
  }

  // What happens at the server.

  hashChanged(key: string, by: Execution | undefined): void {
    const attempts = this.#partitions.findIndex((partition) => partition.attempts === key)
    if (attempts >= 0 && by !== undefined) this.#mustHold(by, attempts, 'noted attempts in')
    const partition = this.#leaseKeys.get(key)
    if (partition === undefined) return
    const before = this.#lease(partition)
    const hash = this.broker?.store.hash(key)
    const value = (field: string): string => hash?.get(field) ?? ''
    const [token, owner, until, position] = [value('token'), value('owner'), value('until'), value('position')]
    if (by !== undefined) {
      if (token === '' && before.token !== '') this.#givenBack(by, partition)
      else if (token !== before.token) this.#takenBy(by, partition, token)
      else if (until !== before.until) this.#mustHold(by, partition, 'renewed the lease of')
      if (position !== before.position && position !== '') this.noted(by, partition, position)
    }
    Object.assign(before, { token, owner, until, position })
  }

  groupChanged(key: string, _group: string, change: GroupChange, by: Execution | undefined): void {
    const partition = this.partitionOf(key)
    if (partition === undefined || by === undefined) return
    if (change.what === 'acked') this.#acked.push({ partition, ids: change.ids })
    this.#changed.add(partition)
    if (change.what !== 'moved') return
    this.moved(by, partition)
    this.#moved.add(partition)
  }

  /** Where groups are once a command is through: one that moves a group forgets what was pending before. */
  executed(by: Execution): void {
    for (const { partition, ids } of this.#acked.splice(0))
      if (!this.#moved.has(partition)) this.acked(by, partition, ids)
    for (const partition of this.#changed) {
      const settled = this.position(partition) ?? 0
      const lease = this.#lease(partition)
      if (this.#moved.has(partition)) {
        this.#moves.set(partition, this.#movesOf(partition) + 1)
        this.ledger?.moved(partition, settled)
        this.#moment('moved', by.process, partition)
      } else if (settled < lease.settled) {
        this.world.violate(`the group's position in partition ${partition} fell from ${lease.settled} to ${settled}`)
      }
      lease.settled = settled
      if (settled > 0) this.ledger?.committed(by.process, partition, settled, true)
    }
    this.#changed.clear()
    this.#moved.clear()
  }

  claimed(key: string, _group: string, { id }: Claim, by: Execution | undefined): void {
    const partition = this.partitionOf(key)
    if (partition !== undefined && by !== undefined) this.#noteRead(by.process, partition, this.offsetOf(partition, id))
  }

  consumerDeleted(key: string, _group: string, consumer: string, pending: number): void {
    if (pending > 0) this.world.violate(`${pending} entries of ${key} are lost with consumer '${consumer}'`)
  }

  /** Entries are gone. Retention may only remove what the group has settled. */
  removed(key: string, ids: readonly EntryId[], by: Execution | undefined): void {
    const partition = this.partitionOf(key)
    const found = partition === undefined ? undefined : this.#groupOf(partition)
    if (partition === undefined) return
    const [pending] = found?.group.pending ?? []
    for (const id of ids) {
      const offset = this.offsetOf(partition, id)
      const isSettled =
        found !== undefined &&
        compareIds(id, found.group.lastDelivered) <= 0 &&
        (pending === undefined || compareIds(id, pending.id) < 0)
      if (by === undefined) {
        if (!isSettled) this.world.count(found?.group.find(id) === undefined ? 'unread trimmed' : 'pending trimmed')
        this.ledger?.removed(partition, offset)
        continue
      }
      this.world.judge('nothing skipped')
      this.world.count('retention')
      if (!isSettled)
        this.world.violate(`${by.process.name} trimmed offset ${offset} of partition ${partition}, which isn't settled`)
    }
  }

  read(key: string, ids: readonly string[], by: Execution | undefined): void {
    const partition = this.partitionOf(key)
    if (by === undefined || partition === undefined) return
    for (const id of ids) this.#noteRead(by.process, partition, this.offsetOf(partition, parseId(id)))
    const late = this.#readTooLate.get(by.process) ?? new Set<string>()
    this.#readTooLate.set(by.process, late)
    const owns = this.isOwner(by.process, partition)
    if (owns && ids.length > 0) this.#moment('read', by.process, partition)
    for (const id of ids) {
      if (owns) late.delete(`${partition} ${id}`)
      else late.add(`${partition} ${id}`)
    }
  }

  answered({ command }: Execution, reply: Reply): (() => void) | undefined {
    const stale = this.#refused(command, reply).flatMap((partition) =>
      command
        .filter((word) => word !== this.#lease(partition).token)
        .map((word) => this.#taken.get(`${partition} ${word}`))
        .filter((taken) => taken !== undefined),
    )
    if (stale.length === 0) return undefined
    return () => {
      for (const taken of stale) taken.told = true
    }
  }

  /** The partitions of which a reply says that a token of the command is of no use any more. */
  #refused(command: readonly string[], reply: Reply): number[] {
    const list = Array.isArray(reply) ? (reply as readonly Reply[])[0] : [reply]
    if (!Array.isArray(list) || !list.includes('fenced')) return []
    this.world.judge('late saves')
    const partitions = command.map((word) => this.#leaseKeys.get(word)).filter((partition) => partition !== undefined)
    return partitions.filter((_, index) => list[index] === 'fenced')
  }

  // What a command may do.

  protected acked(by: Execution, partition: number, _ids: readonly EntryId[]): void {
    this.#mustHold(by, partition, 'acked in')
  }

  protected moved(by: Execution, partition: number): void {
    this.#mustHold(by, partition, 'moved the group of')
  }

  protected partitionOf(stream: string): number | undefined {
    const partition = this.#partitions.findIndex((one) => one.stream === stream)
    return partition < 0 ? undefined : partition
  }

  #noteRead(process: SimulatedProcess, partition: number, offset: number): void {
    this.#readAfter.set(`${process.name} ${partition} ${offset}`, this.#movesOf(partition))
  }

  #movesOf(partition: number): number {
    return this.#moves.get(partition) ?? 0
  }

  #takenBy(by: Execution, partition: number, token: string): void {
    const lease = this.#lease(partition)
    const [epoch = '', owner = ''] = token.split(/:(.*)/s)
    const process = this.#owners.get(owner)
    this.world.log(by.process.name, `takes the lease of partition ${partition}, epoch ${epoch}`)
    if (process !== by.process) return this.world.violate(`${by.process.name} took a lease for '${owner}'`)
    const lasts = Number(lease.until) - (this.broker?.now ?? 0)
    if (lease.token !== '' && lease.owner !== owner && lasts > 0)
      this.world.violate(`${by.process.name} took the lease of partition ${partition}, which lasts for ${lasts} ms`)
    if (Number(epoch) <= lease.highestEpoch)
      this.world.violate(`the epoch of partition ${partition} fell from ${lease.highestEpoch} to ${epoch}`)
    lease.highestEpoch = Math.max(lease.highestEpoch, Number(epoch))
    this.#taken.set(`${partition} ${token}`, { told: false })
    const tokens = this.#lastTokens.get(process) ?? new Map<number, string>()
    tokens.set(partition, token)
    this.#lastTokens.set(process, tokens)
    this.#moment('taken', process, partition)
  }

  #givenBack(by: Execution, partition: number): void {
    const { token } = this.#lease(partition)
    this.#mustHold(by, partition, 'gave back')
    const taken = this.#taken.get(`${partition} ${token}`)
    if (taken !== undefined) taken.told = true
    this.world.log(by.process.name, `gives partition ${partition} back`)
    this.#moment('given back', by.process, partition)
  }

  /** Where the group is to begin if it is lost. */
  protected noted(by: Execution, partition: number, position: string): void {
    const { stream } = this.#groupOf(partition) ?? {}
    if (stream === undefined) return
    this.ledger?.committed(by.process, partition, stream.offsetAfter(parseId(position)), true)
  }

  #mustHold({ process, command }: Execution, partition: number, what: string): void {
    const { token } = this.#lease(partition)
    if (token !== '' && command.includes(token)) return
    this.world.violate(`${process.name} ${what} partition ${partition}, which isn't its own any more`)
  }

  #groupOf(partition: number): { readonly stream: ScriptedStream; readonly group: ScriptedGroup } | undefined {
    const stream = this.broker?.store.stream((this.#partitions[partition] as Partition).stream)
    const group = stream?.groups.get(this.#group)
    return stream === undefined || group === undefined ? undefined : { stream, group }
  }

  #lease(partition: number): Lease {
    return this.#leases[partition] as Lease
  }
}
