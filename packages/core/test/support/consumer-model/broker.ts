import { historyOf } from '../../../src/consumer/attempt-notes.js'
import { Delivery, DeliveryState } from '../../../src/consumer/delivery.js'
import type { PartitionAssignment } from '../../../src/contract/consumer-driver.js'
import { StreamError } from '../../../src/errors.js'
import { ROUTING_HEADERS } from '../../../src/wire/reserved-headers.js'
import type { ModelDriver } from './driver.js'
import { watchState } from './transitions.js'
import type { World } from './world.js'

interface Entry {
  readonly id: string
  readonly key: string | undefined
  readonly forOthers: boolean
  acked: boolean
  /** The journal's note. */
  note: number
  /** It was in the hands of a process that has ended. */
  suspect: boolean
  /** Most attempts that may be on record when it comes again; `undefined` while nothing has gone wrong. */
  mostAttempts: number | undefined
}

/** A partition in the hands of the loop's present driver. */
export interface Holding {
  readonly assignment: PartitionAssignment
  readonly driver: ModelDriver
  readonly delivered: Delivery[]
  next: number
  full: boolean
  /** A graceful revocation is under way. */
  leaving: boolean
  settling: boolean
}

const PARTITIONS = 2

/** The broker of a history: one topic, one group, and the driver that is connected. */
export class ModelBroker {
  driver: ModelDriver | undefined
  readonly #world: World
  readonly #logs: readonly Entry[][] = Array.from({ length: PARTITIONS }, () => [])
  readonly #held: (Holding | undefined)[] = Array.from({ length: PARTITIONS }, () => undefined)
  #epoch = 0
  #sent = 0

  constructor(world: World) {
    this.#world = world
  }

  /** Messages that the group has not finished. */
  get unfinished(): number {
    return this.#logs.flat().filter((entry) => !entry.acked).length
  }

  holder(assignment: PartitionAssignment): Holding | undefined {
    return this.#held.find((one) => one?.assignment === assignment)
  }

  holding(partition: number): Holding | undefined {
    return this.#held[partition]
  }

  send(partition: number, key: string | undefined, forOthers: boolean): void {
    this.#sent += 1
    this.#append(partition, { id: `${key ?? '-'}${this.#sent}`, key, forOthers, ...FRESH })
  }

  /** A sender's resend: the same message in a second place. */
  sendAgain(partition: number, choice: number): void {
    const log = this.#logs[partition] as Entry[]
    const entry = log[choice % log.length]
    if (entry !== undefined && !entry.forOthers) this.#append(partition, { ...entry, ...FRESH })
  }

  #append(partition: number, entry: Entry): void {
    this.#logs[partition]?.push(entry)
    this.#pump(partition)
  }

  /** The driver has joined: it gets everything. */
  joined(driver: ModelDriver): void {
    this.driver = driver
    this.assignAll()
  }

  assignAll(): void {
    for (let partition = 0; partition < PARTITIONS; partition += 1) this.assign(partition)
  }

  assign(partition: number, from = 0): void {
    const driver = this.driver
    if (driver === undefined || driver.gone || this.#held[partition] !== undefined) return
    this.#epoch += 1
    const assignment = { topic: 'orders', partition, epoch: this.#epoch }
    this.#held[partition] = {
      assignment,
      driver,
      delivered: [],
      next: from,
      full: false,
      leaving: false,
      settling: false,
    }
    driver.sink.assigned([assignment])
    this.#pump(partition)
  }

  forget(partition: number): void {
    this.#held[partition] = undefined
  }

  async revoke(partition: number, deadlineMs: number): Promise<void> {
    const held = this.#held[partition]
    if (held === undefined || held.leaving) return
    held.leaving = true
    await held.driver.sink.revoked([held.assignment], 'graceful', deadlineMs)
    if (this.#held[partition] === held) this.#held[partition] = undefined
  }

  lose(partition: number): void {
    const held = this.#held[partition]
    if (held === undefined) return
    this.#held[partition] = undefined
    this.#leave(held)
    void held.driver.sink.revoked([held.assignment], 'lost')
  }

  /** The connection is lost. */
  cut(): void {
    const driver = this.driver
    if (driver === undefined) return
    driver.gone = true
    this.left(driver)
    driver.sink.lost(new StreamError('cut', { code: 'UNAVAILABLE' }))
  }

  /** The process of the present driver has ended: what it had in hand may be why. */
  crashed(): void {
    for (const held of this.#held)
      for (const { partition, position } of held?.delivered ?? [])
        (this.#logs[partition]?.[Number(position)] as Entry).suspect = true
    if (this.driver !== undefined) this.left(this.driver)
  }

  /** Keeps a note, of the partition's owner alone. */
  note(driver: ModelDriver, assignment: PartitionAssignment, { partition, position }: Delivery, note: number): void {
    this.#own(driver, assignment)
    const entry = this.#logs[partition]?.[Number(position)] as Entry
    entry.note = note
  }

  /**
   * What is lost without a word, or by the end of the process, was charged with its failures alone, unless nothing else was at work. Who
   * was settled has ended well, or was given up, which counts.
   */
  #leave(held: Holding): void {
    for (const delivery of held.delivered) {
      const entry = this.#logs[delivery.partition]?.[Number(delivery.position)] as Entry
      const others = this.#world.atWork.filter((other) => other !== delivery)
      const isUncharged = delivery.state === DeliveryState.Running && others.length > 0
      // What this process had noted of a start before is corrected with the next one.
      const noted = delivery.state === DeliveryState.Waiting ? historyOf(entry.note).priorAttempts : 0
      // Nobody knows whether a note is on record that has no answer.
      if (this.#world.notes !== 'ok') entry.mostAttempts = undefined
      else entry.mostAttempts = Math.max(0, noted, isUncharged ? delivery.attempt - 1 : delivery.attempt)
    }
  }

  /** Everything of a driver is lost. */
  left(driver: ModelDriver): void {
    for (const [partition, held] of this.#held.entries()) {
      if (held?.driver !== driver) continue
      this.#leave(held)
      this.#held[partition] = undefined
    }
    if (this.driver === driver) this.driver = undefined
  }

  seek(assignment: PartitionAssignment, position: number): void {
    const { partition } = assignment
    if (this.holder(assignment) === undefined) return
    const log = this.#logs[partition] as Entry[]
    for (const [index, entry] of log.entries()) Object.assign(entry, FRESH, { acked: index < position })
    this.#held[partition] = undefined
    this.assign(partition, Math.min(position, log.length))
  }

  ack(driver: ModelDriver, assignment: PartitionAssignment, deliveries: readonly Delivery[]): void {
    this.#own(driver, assignment)
    for (const delivery of deliveries) this.#acked(delivery)
  }

  commit(driver: ModelDriver, assignment: PartitionAssignment, last: Delivery): void {
    const held = this.#own(driver, assignment)
    for (const delivery of held.delivered) {
      if (delivery.position > last.position) break
      this.#acked(delivery)
    }
  }

  #own(driver: ModelDriver, assignment: PartitionAssignment): Holding {
    const held = this.holder(assignment)
    if (held?.driver === driver) return held
    throw new StreamError('the partition is another member’s', { code: 'ABORTED', retryable: false })
  }

  #acked(delivery: Delivery): void {
    const entry = this.#logs[delivery.partition]?.[Number(delivery.position)] as Entry
    if (!this.#world.mayBeAcked(delivery))
      this.#world.violation(`message ${delivery.id} was acked and isn't done: ${this.#world.summary()}`)
    Object.assign(entry, FRESH, { acked: true })
  }

  #pump(partition: number): void {
    const held = this.#held[partition]
    const log = this.#logs[partition] as Entry[]
    while (held !== undefined && this.#held[partition] === held && !held.full && !held.leaving) {
      if (held.driver.stopped || held.next >= log.length) return
      const batch: Delivery[] = []
      for (; held.next < log.length && batch.length < 2; held.next += 1) {
        const entry = log[held.next] as Entry
        if (!entry.acked) batch.push(this.#delivery(held, entry))
      }
      if (batch.length === 0) return
      held.delivered.push(...batch)
      const room = held.driver.sink.deliver(held.assignment, batch)
      if (room === undefined) continue
      held.full = true
      void room.then(() => {
        held.full = false
        this.#pump(partition)
      })
    }
  }

  #delivery(held: Holding, entry: Entry): Delivery {
    const world = this.#world
    const headers: Record<string, string> = entry.forOthers ? { [ROUTING_HEADERS.onlyGroup]: 'audit' } : {}
    const delivery = new Delivery(held.assignment, {
      id: entry.id,
      key: entry.key,
      payload: PAYLOAD,
      headers,
      timestamp: 0,
      position: held.next,
      native: undefined,
      suspect: entry.suspect,
      ...historyOf(entry.note),
    })
    if (entry.mostAttempts !== undefined && delivery.attempt > entry.mostAttempts)
      world.violation(
        `message ${entry.id} is charged ${delivery.attempt} attempts, and had ${entry.mostAttempts} at most`,
      )
    entry.mostAttempts = undefined
    const track = { delivery, reasons: new Set<never>(), starts: 0, acks: 0 }
    if (entry.forOthers) (track.reasons as Set<string>).add('another group')
    world.tracks.set(delivery, track)
    const { life } = world
    watchState(delivery, (what) => {
      if (world.life === life) world.violation(what)
    })
    return delivery
  }
}

const PAYLOAD = Buffer.from('1')
const FRESH = { acked: false, note: 0, suspect: false, mostAttempts: undefined }
