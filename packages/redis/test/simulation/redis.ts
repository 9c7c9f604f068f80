import {
  type ConsumerDriver,
  type ConsumerSink,
  type ConsumerSpec,
  FetchBudget,
  type StartPosition,
  type TopicSpec,
} from '@streamswitch/core/driver'
import type { Ledger, ProtocolRun, SimulatedProcess, SimulatedProtocol, World } from '@streamswitch/testkit/simulation'
import type { Connection, Connector } from '../../src/connection.js'
import type { Incarnation } from '../../src/incarnations.js'
import { type Partition, partitionsOf } from '../../src/keys.js'
import type { RedisSettings } from '../../src/options.js'
import type { LuaEngine } from './lua-engine.js'
import { type Moment, RedisTruth } from './redis-truth.js'
import { ScriptedBroker } from './scripted-broker.js'
import type { ScriptedClient } from './scripted-client.js'
import { FIRST_ID, parseId } from './scripted-stream.js'
import { SharedTruth } from './shared-truth.js'
import type { Sources } from './sources.js'

const GROUP = 'g'
const TOPIC = 't'
/** In so many of a hundred cases something else happens to the server when messages are produced. */
const MISCHIEF_PERCENT = 4
/** In so many of a hundred cases a fault happens at the moment when most can go wrong. */
const WORST_PERCENT = 3
/** The server finds out so late, at most, that a process is gone, in milliseconds. */
const LATE_MS = 15_000

/** Groups whose partitions have one owner at a time. */
export function redis(sources: Sources, engine: LuaEngine): SimulatedProtocol {
  return {
    name: 'redis',
    events: ['held back', 'seek', 'retention', 'unread trimmed', 'pending trimmed'],
    promises: ['one owner', 'epochs rise', 'late saves', 'at rest in time', 'nothing skipped', 'order'],
    start: (world, keepLedger) => new RedisRun(world, keepLedger, { sources, engine, ordering: 'key' }),
  }
}

/** Groups without an order, whose members share all partitions. */
export function sharedRedis(sources: Sources, engine: LuaEngine): SimulatedProtocol {
  return {
    name: 'redis, shared',
    events: ['held back', 'seek', 'unread trimmed', 'pending trimmed', 'claim', 'give back'],
    promises: ['at rest in time', 'nothing skipped', 'claims of the dead only'],
    start: (world, keepLedger) => new RedisRun(world, keepLedger, { sources, engine, ordering: 'none' }),
  }
}

interface RunSettings {
  readonly sources: Sources
  readonly engine: LuaEngine
  readonly ordering: 'key' | 'none'
}

class RedisRun implements ProtocolRun {
  readonly partitions: number
  readonly #world: World
  readonly #sources: Sources
  readonly #ordering: 'key' | 'none'
  readonly #settings: RedisSettings
  readonly #topic: ConsumerSpec['topics'][number]
  readonly #streams: readonly Partition[]
  readonly #truth: RedisTruth
  readonly #broker: ScriptedBroker
  readonly #ledger: Ledger
  /** Not both in one run: where a lease is lost, only the clock knows that its epoch must rise. */
  readonly #rare: 'lease' | 'clock'
  readonly #members = new Map<SimulatedProcess, { readonly spec: ConsumerSpec; readonly connector: Connector }>()
  readonly #incarnations = new Map<SimulatedProcess, Incarnation>()

  constructor(
    world: World,
    keepLedger: (truth: RedisTruth, partitions: number) => Ledger,
    { sources, engine, ordering }: RunSettings,
  ) {
    const { random } = world
    this.#world = world
    this.#sources = sources
    this.#ordering = ordering
    this.partitions = random.pick([1, 1, 2, 3, 4])
    this.#rare = random.pick(['lease', 'clock'])
    const leaseMs = random.pick([3_000, 6_000])
    this.#settings = {
      leaseMs,
      heartbeatMs: leaseMs / random.pick([2, 4]),
      callTimeoutMs: random.pick([3_000, 10_000]),
      claimIdleMs: ordering === 'key' ? 5_000 : random.pick([1_000, 5_000]),
      maxFetchBytes: 4 * 1024 * 1024,
      retentionIntervalMs: 1_000,
    } as RedisSettings
    this.#topic = {
      topic: TOPIC,
      brokerTopic: TOPIC,
      partitions: this.partitions,
      retention: random.pick<TopicSpec['retention']>([{}, {}, { maxMessages: 4 }, { maxAgeMs: 2_000 }]),
      provision: 'create',
      role: 'topic',
    } as ConsumerSpec['topics'][number]
    this.#streams = partitionsOf(this.#topic, this.partitions, GROUP)
    const truth = {
      group: GROUP,
      heartbeatMs: this.#settings.heartbeatMs,
      claimIdleMs: this.#settings.claimIdleMs,
      moment: (moment: Moment, process: SimulatedProcess, at: number) => this.#worstOf(moment, process, at),
    }
    this.#truth =
      ordering === 'key' ? new RedisTruth(world, this.#streams, truth) : new SharedTruth(world, this.#streams, truth)
    this.#broker = new ScriptedBroker(world, engine, this.#truth)
    this.#ledger = keepLedger(this.#truth, this.partitions)
    this.#truth.broker = this.#broker
    this.#truth.ledger = this.#ledger
  }

  offsetOf = ({ assignment, position }: { assignment: { partition: number }; position: unknown }): number => {
    const stream = this.#broker.store.stream(this.#streamOf(assignment.partition))
    return stream?.offsetOf(parseId(String(position))) ?? -1
  }

  driver(process: SimulatedProcess, sink: ConsumerSink): ConsumerDriver {
    const { spec, connector } = this.#memberOf(process)
    return new this.#sources.RedisConsumerDriver(connector, spec, this.#incarnationOf(process), {
      ...sink,
      deliver: (assignment, deliveries) => {
        const ids = deliveries.map(({ position }) => position as string)
        this.#truth.delivered(process, assignment.partition, ids)
        return sink.deliver(assignment, deliveries)
      },
    })
  }

  produce(partition: number): void {
    const stream = this.#streamOf(partition)
    const offset = this.#broker.store.stream(stream)?.added ?? 0
    // Before it is there: its owner may handle it at once.
    this.#ledger.produced(partition, offset)
    this.#broker.store.execute(['XADD', stream, '*', 'payload', '1', 'id', `m${offset}`])
    if (this.#world.faulty && this.#world.random.chance(MISCHIEF_PERCENT)) this.#mischief(partition)
  }

  target(partition: number): StartPosition {
    const { random } = this.#world
    const entries = this.#broker.store.stream(this.#streamOf(partition))?.entries ?? []
    const { text, time } = entries.length === 0 ? FIRST_ID : random.pick(entries).id
    return random.pick<StartPosition>(['earliest', 'latest', { offset: text }, { offset: text }, { timestamp: time }])
  }

  position(partition: number): number | undefined {
    return this.#truth.position(partition)
  }

  leftover(): string | undefined {
    return this.#truth.leftover(this.#living)
  }

  aftermath(): string | undefined {
    return this.#truth.aftermath(this.#living)
  }

  kill(process: SimulatedProcess): void {
    const { random } = this.#world
    const late = random.chance(15)
    for (const client of this.#truth.clientsOf(process))
      client.cut(late ? random.between(100, LATE_MS) : 1, 0, random.chance(70))
  }

  cut(process: SimulatedProcess): void {
    const { random } = this.#world
    const clients = this.#truth.clientsOf(process).filter((client) => client.usable)
    if (clients.length === 0) return
    const chosen = random.chance(50) ? clients : [random.pick(clients)]
    if (random.chance(35)) {
      return this.#stall(process, chosen, random.between(500, LATE_MS))
    }
    const soon = (): number => (random.chance(60) ? random.between(0, 20) : random.between(100, LATE_MS))
    for (const client of chosen) {
      const [server, own] = [soon(), random.chance(25) ? undefined : soon()]
      this.#world.log(
        process.name,
        `a connection is cut: the server learns of it after ${server} ms, it itself ${own === undefined ? 'not at all' : `after ${own} ms`}`,
      )
      client.cut(server, own, random.chance(50))
    }
  }

  froze(): void {}

  restart(downMs: number): void {
    const { random } = this.#world
    this.#world.log('broker', `restarts, and is away for ${downMs} ms`)
    for (const process of this.#members.keys())
      for (const client of this.#truth.clientsOf(process)) client.cut(0, random.next() * 50, false)
    this.#broker.restart(downMs)
  }

  /** A fault at the moment when most can go wrong. */
  #worstOf(moment: Moment, process: SimulatedProcess, partition: number): void {
    const { random, clock, outside, faulty } = this.#world
    if (!faulty || !random.chance(WORST_PERCENT)) return
    clock.schedule(random.between(0, 20), outside, () => {
      if (moment === 'given back') {
        if (this.#rare === 'clock') this.#setClock(random.between(-3_000, -1))
      } else if (moment === 'taken' || (moment === 'read' && random.chance(70))) {
        const clients = this.#truth.clientsOf(process).filter((client) => client.usable)
        const { leaseMs } = this.#settings
        // Until about when others take over, or for long.
        this.#stall(process, clients, random.between(leaseMs / 2, random.chance(60) ? leaseMs * 1.25 : LATE_MS))
      } else {
        this.#deleteGroup(partition)
      }
    })
  }

  #stall(process: SimulatedProcess, clients: readonly ScriptedClient[], ms: number): void {
    this.#world.log(process.name, `${clients.length} of its connections hold everything back for ${ms} ms`)
    this.#world.count('held back')
    this.#truth.disturbed(process, ms + this.#settings.callTimeoutMs)
    for (const client of clients) client.stall(ms)
  }

  #setClock(ms: number): void {
    this.#world.log('broker', `its clock is set by ${ms} ms`)
    this.#truth.clockSet()
    this.#broker.moveClock(ms)
  }

  #deleteGroup(partition: number): void {
    this.#world.log('broker', `the group of partition ${partition} is deleted`)
    this.#truth.groupLost(partition)
    this.#broker.store.execute(['XGROUP', 'DESTROY', this.#streamOf(partition), GROUP])
  }

  /** What others do to a server. */
  #mischief(partition: number): void {
    const { random } = this.#world
    const { stream, lease } = this.#streams[partition] as Partition
    const { store } = this.#broker
    const log = (text: string): void => this.#world.log('broker', text)
    switch (random.pick([this.#rare, 'group', 'scripts', 'foreign', 'foreign', 'trim', 'trim'])) {
      case 'lease':
        log(`the lease of partition ${partition} is deleted`)
        store.execute(['DEL', lease])
        break
      case 'group':
        this.#deleteGroup(partition)
        break
      case 'clock':
        this.#setClock(random.between(-3_000, 3_000))
        break
      case 'trim': {
        const kept = random.between(0, 3)
        log(`partition ${partition} is trimmed to ${kept} entries`)
        store.execute(['XTRIM', stream, 'MAXLEN', String(kept)])
        break
      }
      case 'scripts':
        log('its scripts are forgotten')
        this.#broker.forgetScripts()
        break
      default: {
        const before = store.stream(stream)
        const group = before?.groups.get(GROUP)
        if (before === undefined || group === undefined) break
        for (const { id } of before.after(group.lastDelivered, 2))
          this.#ledger.readElsewhere(partition, before.offsetOf(id))
        log(`somebody reads in the group of partition ${partition}`)
        store.execute(['XREADGROUP', 'GROUP', GROUP, 'foreign', 'COUNT', '2', 'STREAMS', stream, '>'])
      }
    }
  }

  #memberOf(process: SimulatedProcess): { readonly spec: ConsumerSpec; readonly connector: Connector } {
    const known = this.#members.get(process)
    if (known !== undefined) return known
    const spec = {
      topics: [this.#topic],
      group: GROUP,
      brokerGroup: GROUP,
      derivedGroup: GROUP,
      groupOrigin: GROUP,
      member: process.name,
      ordering: this.#ordering,
      from: undefined,
      prefetch: 10,
      maxHandlingMs: 10_000,
      options: {},
    } as ConsumerSpec
    const member = { spec, connector: this.#connectorOf(process) }
    this.#members.set(process, member)
    return member
  }

  #incarnationOf(process: SimulatedProcess): Incarnation {
    const known = this.#incarnations.get(process)
    if (known !== undefined) return known
    const { random } = this.#world
    const incarnation = { id: `${random.between(100, 999)}#${process.name}`, joined: false, partitions: new Map() }
    this.#truth.knows(process, incarnation.id)
    this.#incarnations.set(process, incarnation)
    return incarnation
  }

  /** A `Connector` that connects to the scripted server. */
  #connectorOf(process: SimulatedProcess): Connector {
    const settings = this.#settings
    const connect: Connector['connect'] = async ({ lost, blockMs = 0 }, signal) => {
      const connecting = this.#broker.connect(process, settings.callTimeoutMs + blockMs)
      connecting.then(
        (client) => (signal.aborted ? client.disconnect() : undefined),
        () => {},
      )
      const client = await Promise.race([connecting, aborted(signal)])
      return this.#connectionOf(process, client, lost)
    }
    return {
      settings,
      fetchBudget: new FetchBudget(settings.maxFetchBytes, settings.leaseMs / 4),
      connect,
      connectChecked: connect,
      probe: async () => {},
    } as unknown as Connector
  }

  #connectionOf(process: SimulatedProcess, client: ScriptedClient, lost: (error: unknown) => void): Connection {
    this.#truth.connected(process, client)
    return new this.#sources.Connection(client as never, () => {}, lost)
  }

  get #living(): SimulatedProcess[] {
    return [...this.#members.keys()].filter((process) => !process.dead)
  }

  #streamOf(partition: number): string {
    return (this.#streams[partition] as Partition).stream
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
}
