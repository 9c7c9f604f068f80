import type { Delivery } from '../../../src/consumer/delivery.js'
import type {
  AttemptJournal,
  ConsumerDriver,
  ConsumerSink,
  PartitionAssignment,
  StartPosition,
} from '../../../src/contract/consumer-driver.js'
import { StreamError } from '../../../src/errors.js'
import type { World } from './world.js'

/** One connection of a history's loop. */
export class ModelDriver implements ConsumerDriver {
  readonly settlement: 'individual' | 'cumulative'
  readonly redelivery = 'core'
  readonly settleIntervalMs: number
  readonly sink: ConsumerSink
  readonly attempts: AttemptJournal
  readonly #life: number
  readonly #world: World
  stopped = false
  gone = false

  constructor(world: World, sink: ConsumerSink) {
    this.#world = world
    this.sink = sink
    this.settlement = world.scenario.settlement
    this.settleIntervalMs = world.scenario.settleIntervalMs
    this.#life = world.life
    const note = (assignment: PartitionAssignment, delivery: Delivery, value: number): Promise<void> =>
      this.#alive(() => world.call('notes', () => world.broker.note(this, assignment, delivery, value)))
    this.attempts = { starting: note, failed: note }
  }

  async open(): Promise<void> {
    if (this.#world.life !== this.#life) return new Promise(() => {})
    if (this.#world.opens !== 'ok') throw new StreamError('no broker', { code: 'UNAVAILABLE' })
    this.#world.broker.joined(this)
  }

  async ack(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    if (this.settlement === 'cumulative') this.#world.violation('ack() was called where commit() is due')
    await this.#settle(assignment, () => this.#world.broker.ack(this, assignment, deliveries))
  }

  async commit(assignment: PartitionAssignment, last: Delivery): Promise<void> {
    if (this.settlement === 'individual') this.#world.violation('commit() was called where ack() is due')
    await this.#settle(assignment, () => this.#world.broker.commit(this, assignment, last))
  }

  async release(_assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    for (const delivery of deliveries) {
      if (delivery.handling) this.#world.violation(`message ${delivery.id} was given back while its handler ran`)
    }
  }

  async seek(assignment: PartitionAssignment, position: StartPosition): Promise<void> {
    if (typeof position === 'object' && 'offset' in position)
      this.#world.broker.seek(assignment, Number(position.offset))
  }

  async stop(): Promise<void> {
    this.stopped = true
  }

  async close(): Promise<void> {
    this.stopped = true
    this.gone = true
    if (this.#world.life === this.#life) this.#world.broker.left(this)
  }

  /** What a process that is gone asks for is never answered. */
  #alive<T>(work: () => Promise<T>): Promise<T> {
    return this.#world.life === this.#life ? work() : new Promise(() => {})
  }

  /** One at a time for each partition. */
  #settle(assignment: PartitionAssignment, apply: () => void): Promise<void> {
    return this.#alive(() => this.#settleNow(assignment, apply))
  }

  async #settleNow(assignment: PartitionAssignment, apply: () => void): Promise<void> {
    const held = this.#world.broker.holder(assignment)
    if (held?.settling === true) this.#world.violation(`two acks of partition ${assignment.partition} at once`)
    if (held !== undefined) held.settling = true
    try {
      await this.#world.call('acks', apply)
    } finally {
      if (held !== undefined) held.settling = false
    }
  }
}
