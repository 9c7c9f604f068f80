import type { SimulatedProcess, World } from '@streamswitch/testkit/simulation'
import type { ScriptedConnection } from './scripted-client.js'
import { ClassicQueue, type QueuedMessage, SingleActiveQueue } from './scripted-queue.js'

/** A consumer of a partition's queue. */
export interface ScriptedConsumer {
  readonly connection: ScriptedConnection
  readonly queue: string
  readonly priority: number
  readonly prefetch: number
  readonly held: Set<QueuedMessage>
  deliver(message: QueuedMessage): void
}

export type PartitionQueue = SingleActiveQueue<ScriptedConsumer>

/** What happens at the broker, for whoever judges it. */
export interface BrokerEvents {
  /** A process sends something to a queue: whether it may, as far as it knows. */
  mayStore(process: SimulatedProcess, queue: string): boolean
  stored(process: SimulatedProcess, queue: string, body: Buffer, sentRightly: boolean): void
  /** A process is sent what a queue holds; `undefined`: nothing. */
  read(process: SimulatedProcess, queue: string, body: Buffer | undefined): void
  acked(process: SimulatedProcess, queue: string, message: QueuedMessage): void
  /** A consumer is the active one from now on. */
  activated(consumer: ScriptedConsumer): void
  /** The broker had to refuse what no client should ask for. */
  mistake(process: SimulatedProcess, text: string): void
}

/** RabbitMQ, as far as the members of a group speak with it: queues of partitions, of attempts, and of announcements. */
export class ScriptedBroker {
  readonly world: World
  readonly events: BrokerEvents
  readonly partitions = new Map<string, PartitionQueue>()
  readonly classic = new Map<string, ClassicQueue>()
  /** Fanout exchanges, with what is bound to them. */
  readonly exchanges = new Map<string, Set<string>>()
  readonly connections = new Set<ScriptedConnection>()
  readonly #commandedAt = new Map<string, number>()
  #downUntil = 0
  #consumerTags = 0

  constructor(world: World, events: BrokerEvents) {
    this.world = world
    this.events = events
  }

  get down(): boolean {
    return this.world.now < this.#downUntil
  }

  createPartition(name: string): PartitionQueue {
    const queue: PartitionQueue = new SingleActiveQueue((consumer) => this.events.activated(consumer))
    this.partitions.set(name, queue)
    return queue
  }

  declareClassic(name: string, maxLength: number): ClassicQueue {
    const queue = this.classic.get(name) ?? new ClassicQueue(maxLength)
    this.classic.set(name, queue)
    return queue
  }

  deleteClassic(name: string): void {
    this.classic.delete(name)
    for (const bound of this.exchanges.values()) bound.delete(name)
  }

  nextConsumerTag(): string {
    this.#consumerTags += 1
    return `consumer ${this.#consumerTags}`
  }

  /** Everything but messages and queues is gone. */
  restart(downMs: number): void {
    this.#downUntil = this.world.now + downMs
    for (const connection of [...this.connections]) connection.cut(0, this.world.random.next() * 50)
  }

  /** Queues apply commands one after the other, which takes its time. */
  command(queue: string, run: () => void): void {
    const { clock, random, broker } = this.world
    const delay = random.chance(3) ? random.next() * 300 : random.next() * 2
    const at = Math.max(this.#commandedAt.get(queue) ?? 0, clock.now + delay)
    this.#commandedAt.set(queue, at)
    clock.schedule(at - clock.now, broker, run)
  }

  /** Queues that a message goes to. */
  routes(exchange: string, routingKey: string): readonly ClassicQueue[] {
    const names = exchange === '' ? [routingKey] : [...(this.exchanges.get(exchange) ?? [])]
    return names.map((name) => this.classic.get(name)).filter((queue) => queue !== undefined)
  }
}
