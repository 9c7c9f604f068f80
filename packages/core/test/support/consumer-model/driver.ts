import type { Delivery } from '../../../src/consumer/delivery.js'
import type {
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
  readonly #world: World
  stopped = false
  gone = false

  constructor(world: World, sink: ConsumerSink) {
    this.#world = world
    this.sink = sink
    this.settlement = world.scenario.settlement
    this.settleIntervalMs = world.scenario.settleIntervalMs
  }

  async open(): Promise<void> {
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
    this.#world.broker.left(this)
  }

  /** One at a time for each partition. */
  async #settle(assignment: PartitionAssignment, apply: () => void): Promise<void> {
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
