import type { ConsumerSpec, Logger } from '@streamswitch/core/driver'
import type {
  GroundTruth,
  ProtocolRun,
  SimulatedProcess,
  SimulatedProtocol,
  World,
} from '@streamswitch/testkit/simulation'
import type { AmqpConnection } from '../../src/connection.js'
import { groupNames, sharedNames, topicNames } from '../../src/names.js'
import type { AmqpSettings } from '../../src/options.js'
import type { Shared } from '../../src/shared.js'
import type { TopicRegistry } from '../../src/topic-registry.js'
import { ScriptedBroker } from './scripted-broker.js'
import { connectScripted, type ScriptedConnection } from './scripted-client.js'
import type { QueuedMessage } from './scripted-queue.js'
import type { Sources } from './sources.js'

const TOPIC = 't'
const GROUP = 'g'
/** Messages of a partition have so many keys, whose handlers run at the same time. */
const KEYS = 3
const MEMBER_INTERVAL_MS = 2_000
const CALL_TIMEOUT_MS = 10_000
/** A process that is frozen for longer is given up by the broker. */
const HEARTBEATS_MS = 12_000

/** Groups that keep order, on quorum queues with a single active consumer. */
export function amqp(sources: Sources): SimulatedProtocol {
  return {
    name: 'amqp',
    events: ['closed channel'],
    promises: ['one owner', 'epochs rise', 'late saves', 'at rest in time', 'nothing skipped', 'order'],
    start: (world, keepLedger) => {
      const { random } = world
      const partitions = random.pick([1, 1, 2, 3])
      const prefetch = random.pick([1, 3, 10, 50])
      const truth = new AmqpTruth()
      const ledger = keepLedger(truth, partitions)
      const names = groupNames({ derivedName: TOPIC }, GROUP)
      const queues = Array.from({ length: partitions }, (_, partition) => names.queue(partition))
      const records = queues.map((_, partition) => names.attempts(partition))
      /** While a member looks up what is on record, or notes a start, it may lose the partition for which it does so. */
      const disturb = (process: SimulatedProcess): void => {
        if (!world.faulty || !random.chance(6)) return
        world.clock.schedule(random.between(0, 12), world.outside, () => {
          const connections = truth.connectionsOf(process).filter(({ usable }) => usable)
          if (connections.length > 0) closeChannel(world, random.pick(connections))
        })
      }
      const judge = new RecordJudge(world, (queue, offset) => ledger.isHandled(records.indexOf(queue), offset))
      const broker = new ScriptedBroker(world, {
        mayStore: (process, queue) => !records.includes(queue) || ledger.mayCommit(process, records.indexOf(queue)),
        read: (process, queue, body) => {
          judge.read(process, queue, body)
          disturb(process)
        },
        stored: (process, queue, body, sentRightly) => {
          judge.stored(process, queue, body, sentRightly)
          disturb(process)
        },
        acked: (process, queue, message) => ledger.acked(process, queues.indexOf(queue), offsetOf(message)),
        mistake: (process, text) => world.violate(`${process.name} ${text}`),
        activated: ({ connection: { process } }) => {
          if (!world.faulty) return
          // The moment when most can go wrong: a member that doesn't know that it has lost what it is about to take.
          disturb(process)
          if (random.chance(8)) world.slowDown(process, random.between(50, 2_000))
          if (!random.chance(8)) return
          const [brokerMs, clientMs] = [random.between(0, 30), random.between(300, 9_000)]
          world.clock.schedule(random.between(0, 40), world.outside, () => {
            world.log(process.name, `is cut while it is activated, and learns of it after ${clientMs} ms`)
            for (const connection of truth.connectionsOf(process)) connection.cut(brokerMs, clientMs)
          })
        },
      })
      truth.broker = broker
      truth.queues = queues
      for (const queue of queues) broker.createPartition(queue)
      broker.exchanges.set(topicNames(TOPIC).exchange, new Set())
      broker.exchanges.set(names.members, new Set())
      const offsets = queues.map(() => 0)
      const processes = new Map<SimulatedProcess, Shared>()
      const sharedOf = (process: SimulatedProcess): Shared => {
        const known = processes.get(process)
        if (known !== undefined) return known
        const shared = sharedBy(process, sources, broker, truth)
        processes.set(process, shared)
        return shared
      }
      return {
        partitions,
        offsetOf: ({ id }) => Number(id),
        driver: (process, sink) => {
          const shared = sharedOf(process)
          return new sources.AmqpConsumerDriver(shared, specOf(process, partitions, prefetch), sink)
        },
        produce: (partition) => {
          const offset = offsets[partition] as number
          offsets[partition] = offset + 1
          // Before the broker sends it: its owner may handle it at once.
          ledger.produced(partition, offset)
          broker.command(queues[partition] as string, () =>
            broker.partitions.get(queues[partition] as string)?.publish(messageAt(offset)),
          )
        },
        position: (partition) => {
          const queue = broker.partitions.get(queues[partition] as string)
          const left = [...(queue?.messages ?? []), ...(queue?.consumers ?? []).flatMap(({ held }) => [...held])]
          return Math.min(offsets[partition] as number, ...left.map(offsetOf))
        },
        leftover: () => {
          for (const [partition, queue] of queues.entries()) {
            const consumers = (broker.partitions.get(queue)?.consumers ?? [])
              .filter(({ connection }) => !connection.failed)
              .map(({ connection }) => connection.process.name)
            const twice = consumers.find((name, index) => consumers.indexOf(name) !== index)
            if (twice !== undefined) return `${twice} has several consumers of partition ${partition}`
          }
          return undefined
        },
        kill: (process) => {
          const late = random.chance(15)
          for (const connection of truth.connectionsOf(process))
            connection.cut(late ? random.between(100, 15_000) : 1, 0)
        },
        cut: (process) => {
          const connections = truth.connectionsOf(process).filter(({ failed }) => !failed)
          if (connections.length === 0) return
          if (random.chance(30)) return closeChannel(world, random.pick(connections))
          const chosen = random.chance(50) ? connections : [random.pick(connections)]
          const soon = (): number => (random.chance(60) ? random.between(0, 20) : random.between(100, 15_000))
          for (const connection of chosen) {
            const [brokerMs, clientMs] = [soon(), soon()]
            world.log(
              process.name,
              `a connection is cut: the broker learns of it after ${brokerMs} ms, it itself after ${clientMs} ms`,
            )
            connection.cut(brokerMs, clientMs)
          }
        },
        froze: (process) => {
          world.clock.schedule(HEARTBEATS_MS, world.broker, () => {
            if (!process.frozen) return
            for (const connection of truth.connectionsOf(process)) connection.cut(0, 0)
          })
        },
        restart: (downMs) => {
          world.log('broker', `restarts, and is away for ${downMs} ms`)
          broker.restart(downMs)
        },
      } satisfies ProtocolRun
    },
  }
}

/** The broker ends the channel of one consumer: a queue's leader is gone, an ack was late. */
function closeChannel(world: World, connection: ScriptedConnection): void {
  const { consuming } = connection
  if (consuming.length === 0) return
  const channel = world.random.pick(consuming)
  world.count('closed channel')
  world.log(connection.process.name, `the broker closes channel ${channel.number}`)
  channel.closeByBroker(541, 'INTERNAL_ERROR - scripted')
}

function messageAt(offset: number): QueuedMessage {
  return { body: Buffer.from('1'), properties: { messageId: String(offset), headers: {} }, delivered: false }
}

function offsetOf({ properties }: QueuedMessage): number {
  return Number(properties['messageId'])
}

/** What `connectTransport` makes of its options. */
function sharedBy(process: SimulatedProcess, sources: Sources, broker: ScriptedBroker, truth: AmqpTruth): Shared {
  const connect = async (): Promise<AmqpConnection> => {
    const native = await connectScripted(broker, process)
    truth.connected(process, native.connection as unknown as ScriptedConnection)
    return new sources.AmqpConnection(native, CALL_TIMEOUT_MS)
  }
  const log = (text: string): void => broker.world.log(process.name, `logs: ${text}`)
  const logger = { debug: log, info: log, warn: log, error: log } as unknown as Logger
  // Topic and group exist.
  const common = { registry: undefined as unknown as TopicRegistry, shared: sharedNames('') }
  return {
    settings: { memberIntervalMs: MEMBER_INTERVAL_MS, bindings: {}, queues: [] } as unknown as AmqpSettings,
    logger,
    clientId: process.name,
    prefix: '',
    nativeNames: new Set(),
    publishing: new sources.SharedConnection(connect),
    ...common,
    unprefixed: common,
    requires: [],
    held: new sources.HeldMessages(),
    epochs: new sources.Epochs(),
    connect,
    joined: new WeakSet(),
  }
}

function specOf(process: SimulatedProcess, partitions: number, prefetch: number): ConsumerSpec {
  return {
    topics: [
      {
        topic: TOPIC,
        brokerTopic: TOPIC,
        derivedName: TOPIC,
        origin: TOPIC,
        native: false,
        prefixed: true,
        partitions,
        retention: {},
        provision: 'none',
        role: 'topic',
      },
    ],
    group: GROUP,
    brokerGroup: GROUP,
    derivedGroup: GROUP,
    groupOrigin: GROUP,
    member: process.name.replace(' ', '-'),
    ordering: 'key',
    from: undefined,
    prefetch,
    maxHandlingMs: 60_000,
    options: {},
  }
}

interface RecordedAttempts {
  readonly attempts: Readonly<Record<string, number>>
  readonly returned: readonly string[]
}

/**
 * Judges what is written to the records of attempts, which the broker takes from anybody. A member that may have lost the partition must have
 * read what is there, and change nothing but entries of messages that are done.
 */
class RecordJudge {
  readonly #world: World
  readonly #isHandled: (queue: string, offset: number) => boolean
  /** What a process knows of a record, by both: whether it has read it after it last wrote. */
  readonly #known = new Map<string, { readonly record: RecordedAttempts; readonly isRead: boolean }>()

  constructor(world: World, isHandled: (queue: string, offset: number) => boolean) {
    this.#world = world
    this.#isHandled = isHandled
  }

  read(process: SimulatedProcess, queue: string, body: Buffer | undefined): void {
    this.#known.set(`${process.name} ${queue}`, { record: parse(body), isRead: true })
  }

  stored(process: SimulatedProcess, queue: string, body: Buffer, sentRightly: boolean): void {
    const known = this.#known.get(`${process.name} ${queue}`)
    const now = parse(body)
    this.#known.set(`${process.name} ${queue}`, { record: now, isRead: false })
    if (sentRightly) return
    this.#world.judge('late saves')
    const text = `${process.name} wrote to ${queue}, of a partition that isn't its own`
    if (known?.isRead !== true) return this.#world.violate(`${text}, without having read it`)
    const { attempts, returned } = known.record
    for (const [id, count] of Object.entries(attempts))
      if (now.attempts[id] !== count && !this.#isHandled(queue, Number(id)))
        this.#world.violate(`${text}: the attempts of ${id} are lost`)
    for (const id of Object.keys(now.attempts))
      if (!(id in attempts)) this.#world.violate(`${text}: it counts attempts of ${id}`)
    if (now.returned.join() !== returned.join()) this.#world.violate(`${text}: what was given back is changed`)
  }
}

function parse(body: Buffer | undefined): RecordedAttempts {
  return body === undefined ? { attempts: {}, returned: [] } : (JSON.parse(body.toString()) as RecordedAttempts)
}

/** Who owns what, by the scripted broker. */
class AmqpTruth implements GroundTruth {
  readonly fencing = 'deliveries'
  readonly keys = KEYS
  readonly senders = 1
  broker: ScriptedBroker | undefined
  queues: readonly string[] = []
  readonly #connections = new Map<SimulatedProcess, ScriptedConnection[]>()

  connected(process: SimulatedProcess, connection: ScriptedConnection): void {
    this.#connections.set(process, [...this.connectionsOf(process).filter(({ failed }) => !failed), connection])
  }

  connectionsOf(process: SimulatedProcess): readonly ScriptedConnection[] {
    return this.#connections.get(process) ?? []
  }

  isOwner(process: SimulatedProcess, partition: number): boolean {
    return this.broker?.partitions.get(this.queues[partition] as string)?.active?.connection.process === process
  }

  isUnaware(process: SimulatedProcess, partition: number): boolean {
    return this.connectionsOf(process).some((connection) => connection.isUnaware(this.queues[partition] as string))
  }

  canRead(process: SimulatedProcess): boolean {
    return this.connectionsOf(process).some(({ usable }) => usable)
  }

  noticeMs(): number {
    return 0
  }
}
