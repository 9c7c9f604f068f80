import type {
  ConsumerDriver,
  ConsumerSink,
  Delivery,
  PartitionAssignment,
  PartitionPositions,
  StartPosition,
} from '@streamswitch/core/driver'
import type {
  GroundTruth,
  ProtocolRun,
  SimulatedProcess,
  SimulatedProtocol,
  World,
} from '@streamswitch/testkit/simulation'
import type { StreamClient } from '../../src/client-patches/stream-client.js'
import type { GroupMembership } from '../../src/group-membership.js'
import type { StreamConsumerSettings } from '../../src/options.js'
import { ScriptedBroker, type ScriptedConsumer } from './scripted-broker.js'
import { ScriptedClient } from './scripted-client.js'
import type { Sources } from './sources.js'

const GROUP = 'g'
const TOPIC = 't'
const FORMAT_SHIFT = 60n
const LEAVE_TIMEOUT_MS = 2_000
/** A process that is frozen for longer is given up by the broker. */
const HEARTBEATS_MS = 20_000
/** An owner reads what is stored this often once it has had nothing to store for a while. */
const IDLE_MS = 29_000
const IDLE_INTERVAL_MS = 1_000

/** Groups of a super stream, or of a plain stream. */
export function rabbitmqStream(sources: Sources): SimulatedProtocol {
  return {
    name: 'rabbitmq-stream',
    events: [],
    promises: ['one owner', 'epochs rise', 'late saves', 'at rest in time', 'nothing skipped', 'order'],
    start: (world, keepLedger) => {
      const { random } = world
      const partitions = random.pick([1, 1, 2, 3])
      const truth = new StreamTruth(world)
      const ledger = keepLedger(truth, partitions)
      const options = {
        commitIntervalMs: random.pick([0, 100, 200, 500]),
        chunksAhead: random.between(1, 3),
        handoverTimeoutMs: 10_000,
      } as StreamConsumerSettings
      truth.commitIntervalMs = options.commitIntervalMs
      const superStream = partitions === 1 && random.chance(30) ? undefined : TOPIC
      const streams = Array.from({ length: partitions }, (_, partition) => `${TOPIC}-${partition}`)
      const broker = new ScriptedBroker(world, sources, {
        mayStore: (process, stream) => ledger.mayCommit(process, streams.indexOf(stream)),
        stored: (process, { stream, reference, value, before, sentRightly }) => {
          const partition = streams.indexOf(stream)
          const owner = ledger.holder(partition)?.process
          if (reference === `${GROUP}:epoch`) truth.epochStored(process, stream)
          if (reference !== GROUP && reference !== `${GROUP}:epoch`) return
          if (reference === GROUP) {
            truth.committed(partition)
            ledger.committed(process, partition, positionOf(broker, stream) ?? 0, sentRightly)
          }
          if (owner === undefined || owner === process || value === before || before === undefined) return
          // An epoch that rises is no late one: the owner's term ends by it.
          if (reference !== GROUP && value > before) return
          ledger.mustRestore(partition, () => broker.streams.get(stream)?.stored(reference) !== value)
        },
        activated: ({ connection }) => {
          if (!world.faulty) return
          // The moment when most can go wrong: a member that doesn't know that it has lost what it is about to take.
          if (random.chance(8)) world.slowDown(connection.process, random.between(50, 2_000))
          if (!random.chance(8)) return
          const [broker, client] = [random.between(0, 30), random.between(300, 9_000)]
          world.clock.schedule(random.between(0, 40), world.outside, () => {
            world.log(connection.process.name, `is cut while it is activated, and learns of it after ${client} ms`)
            connection.cut(broker, client)
          })
        },
        unsubscribed: (consumer) => truth.unsubscribed(consumer),
      })
      truth.broker = broker
      for (const [partition, stream] of streams.entries())
        broker.create(stream, superStream === undefined ? -1 : partition)
      const ownEpochs = new Map<SimulatedProcess, Map<string, number>>()
      return {
        partitions,
        offsetOf: ({ position }) => position as number,
        driver: (process, sink) => {
          const own = ownEpochs.get(process) ?? new Map<string, number>()
          ownEpochs.set(process, own)
          return new SimulatedDriver({
            broker,
            process,
            connections: random.pick([1, 2]),
            truth,
            create: (client, lost) =>
              new sources.GroupMembership({
                client,
                sink: lost,
                group: GROUP,
                from: startOf(),
                options,
                ownEpochs: own,
              }),
            sink,
            names: streams.map((stream, partition) => ({ topic: TOPIC, partition, stream, superStream })),
            settleIntervalMs: options.commitIntervalMs,
          })
        },
        produce: (partition) => {
          const stream = broker.streams.get(streams[partition] as string)
          if (stream === undefined) return
          // Before the broker sends it: its owner may handle it at once.
          ledger.produced(partition, stream.lastChunk + 1)
          stream.append()
        },
        position: (partition) => positionOf(broker, streams[partition] as string),
        leftover: () => {
          for (const [partition, stream] of streams.entries()) {
            const owner = ledger.holder(partition)?.process
            for (const connection of broker.connections) {
              const readers = connection.readersOf(stream)
              if (readers > (connection.process === owner ? 1 : 0))
                return `${connection.process.name} reads partition ${partition} by ${readers} subscriptions`
            }
          }
          return undefined
        },
        kill: (process) => {
          const late = random.chance(15)
          for (const connection of truth.connectionsOf(process))
            connection.cut(late ? random.between(100, 15_000) : 1, 0)
        },
        cut: (process) => {
          const connections = truth.connectionsOf(process).filter(({ failure }) => failure === undefined)
          if (connections.length === 0) return
          const chosen = random.chance(50) ? connections : [random.pick(connections)]
          const soon = (): number => (random.chance(60) ? random.between(0, 20) : random.between(100, 15_000))
          for (const connection of chosen) {
            const [broker, client] = [soon(), soon()]
            world.log(
              process.name,
              `a connection is cut: the broker learns of it after ${broker} ms, it itself after ${client} ms`,
            )
            connection.cut(broker, client)
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

function startOf(): StartPosition | PartitionPositions | undefined {
  return undefined
}

/** As `GroupRecordStore.position`, without asking. */
function positionOf(broker: ScriptedBroker, name: string): number | undefined {
  const stream = broker.streams.get(name)
  const stored = stream?.stored(GROUP)
  if (stored === undefined) return undefined
  const beforeFirst = stored === 0n && stream?.stored(`${GROUP}:before-first`) === ((1n << FORMAT_SHIFT) | 1n)
  return beforeFirst ? 0 : Number(stored) + 1
}

/** Who owns what, by the scripted broker. */
class StreamTruth implements GroundTruth {
  readonly fencing = 'epochs'
  readonly keys = 1
  readonly senders = 1
  broker: ScriptedBroker | undefined
  commitIntervalMs = 0
  readonly #world: World
  readonly #clients = new Map<SimulatedProcess, ScriptedClient[]>()
  readonly #closing = new Set<ScriptedClient>()
  readonly #committedAt = new Map<number, number>()
  /** By stream: who stored an epoch last, and when. */
  readonly #epochs = new Map<string, { readonly process: SimulatedProcess; readonly at: number }>()

  constructor(world: World) {
    this.#world = world
  }

  connected(process: SimulatedProcess, client: ScriptedClient): void {
    this.#clients.set(process, [...(this.#clients.get(process) ?? []), client])
  }

  /** Its driver ends in good order or is lost: candidacies that end from now on are no mistake. */
  closing(client: ScriptedClient): void {
    this.#closing.add(client)
  }

  connectionsOf(process: SimulatedProcess) {
    return (this.#clients.get(process) ?? []).flatMap(({ connections }) => connections)
  }

  committed(partition: number): void {
    this.#committedAt.set(partition, this.#world.now)
  }

  epochStored(process: SimulatedProcess, stream: string): void {
    this.#epochs.set(stream, { process, at: this.#world.now })
  }

  /** Members end an active candidacy that they know of only when they leave, or for another's epoch. */
  unsubscribed({ connection, stream, heardAt }: ScriptedConsumer): void {
    const { process } = connection
    const client = this.#clients.get(process)?.find(({ connections }) => connections.includes(connection))
    if (heardAt === undefined || client === undefined || this.#closing.has(client)) return
    const epoch = this.#epochs.get(stream)
    if (epoch !== undefined && epoch.process !== process && epoch.at >= heardAt) return
    this.#world.violate(`${process.name} ended its candidacy for ${stream}, which the broker had activated`)
  }

  isOwner(process: SimulatedProcess, partition: number): boolean {
    return this.connectionsOf(process).some((connection) => connection.isActiveOn(`${TOPIC}-${partition}`))
  }

  isUnaware(process: SimulatedProcess, partition: number): boolean {
    return this.connectionsOf(process).some(
      ({ failure, lostStreams }) => failure === undefined && lostStreams.has(`${TOPIC}-${partition}`),
    )
  }

  canRead(process: SimulatedProcess): boolean {
    return this.#clients.get(process)?.at(-1)?.locator.usable === true
  }

  noticeMs(partition: number): number {
    const interval = Math.max(100, this.commitIntervalMs)
    const idle = this.#world.now - (this.#committedAt.get(partition) ?? 0) > IDLE_MS
    return (idle ? Math.max(interval, IDLE_INTERVAL_MS) : interval) + 250
  }
}

interface DriverSettings {
  readonly broker: ScriptedBroker
  readonly process: SimulatedProcess
  readonly connections: 1 | 2
  readonly truth: StreamTruth
  readonly create: (client: StreamClient, sink: ConsumerSink) => GroupMembership
  readonly sink: ConsumerSink
  readonly names: readonly Parameters<GroupMembership['join']>[0][]
  readonly settleIntervalMs: number
}

/** `StreamConsumerDriver` on a scripted client. */
class SimulatedDriver implements ConsumerDriver {
  readonly settlement = 'cumulative'
  readonly redelivery = 'core'
  readonly settleIntervalMs: number
  readonly #settings: DriverSettings
  #client: ScriptedClient | undefined
  #membership: GroupMembership | undefined

  constructor(settings: DriverSettings) {
    this.#settings = settings
    this.settleIntervalMs = settings.settleIntervalMs
  }

  async open(signal: AbortSignal): Promise<void> {
    const { broker, process, connections, truth, create, sink, names } = this.#settings
    const client = await ScriptedClient.connect(broker, process, connections, (error) =>
      this.#membership?.disconnected(error),
    )
    signal.throwIfAborted()
    this.#client = client
    truth.connected(process, client)
    const lost = (error: unknown): void => {
      truth.closing(client)
      sink.lost(error)
    }
    const membership = create(client as unknown as StreamClient, { ...sink, lost })
    this.#membership = membership
    for (const name of names) await membership.join(name, signal)
    await membership.joined(signal)
  }

  async commit(assignment: PartitionAssignment, last: Delivery): Promise<void> {
    await this.#membership?.commit(assignment, last)
  }

  async stop(): Promise<void> {
    this.#membership?.stop()
  }

  async close(): Promise<void> {
    if (this.#client !== undefined) this.#settings.truth.closing(this.#client)
    const timeout = new Promise<void>((resolve) => setTimeout(resolve, LEAVE_TIMEOUT_MS))
    await Promise.race([this.#membership?.leave(), timeout])
    await this.#client?.close()
  }
}
