import type {
  ConsumerDriver,
  ConsumerSink,
  ConsumerSpec,
  Delivery,
  Logger,
  PartitionAssignment,
  ProducerSpec,
  TopicSpec,
} from '@streamswitch/core/driver'
import {
  type GroundTruth,
  type Ledger,
  type ProtocolRun,
  SimulatedProcess,
  type SimulatedProtocol,
  type World,
} from '@streamswitch/testkit/simulation'
import type { InboundRecord } from '../../src/message.js'
import type { HttpConsumerOptionValues, HttpOptionValues, HttpProducerOptionValues } from '../../src/options.js'
import type { Hub } from '../../src/server/hub.js'
import type { Lease } from '../../src/server/listener.js'
import { ANYBODY } from '../../src/server/principal.js'
import type { RequestLimits } from '../../src/server/requests.js'
import { ForeignHeaders } from '../../src/wire/foreign-headers.js'
import { ScriptedPool } from './scripted-client.js'
import { ScriptedNetwork } from './scripted-server.js'
import { SimulatedSender } from './simulated-sender.js'
import type { Sources } from './sources.js'

const KEYS = 3
/** Producers in processes of their own, which use the same keys. */
const SENDERS = 2
const TOPIC: TopicSpec = {
  topic: 't',
  brokerTopic: 't',
  derivedName: 't',
  origin: 't',
  native: false,
  prefixed: true,
  partitions: undefined,
  retention: {},
  provision: 'none',
  role: 'topic',
}
const MIB = 1024 * 1024
/** Every sender is known, so that its attempts count. */
const ACCESS: RequestLimits['access'] = {
  isClosed: true,
  decides: false,
  authorize: () => undefined,
  senderOf: () => ({ principal: ANYBODY, identity: '', routes: true }),
}
const LIMITS = { maxPayloadBytes: MIB, maxRequestBytes: MIB, foreignHeaders: new ForeignHeaders(), access: ACCESS }
const RESPONSE_TIMEOUT_MS = 5_000
/** A machine that is gone says nothing any more. */
const NEVER_MS = 1_000_000_000

/** Loops that share listening addresses, and a producer that sends to them: by routes, or to base URLs. */
export function http(sources: Sources): SimulatedProtocol {
  return {
    name: 'http',
    events: ['resend', 'loop that leaves'],
    promises: ['at rest in time', 'nothing skipped', 'order'],
    start: (world, keepLedger) => {
      const { random } = world
      const origins = Array.from({ length: random.between(1, 3) }, (_, index) => `http://replica-${index}`)
      const groups = random.chance(50) ? ['g'] : ['g', 'h']
      const ledger = keepLedger(TRUTH, groups.length)
      const network = new ScriptedNetwork(world)
      const accepted = new Set<number>()
      let sent = 0
      const settings: SenderSettings = {
        groups,
        origins,
        // A base URL hands a topic to the groups that are there: with two groups, one that comes later would miss what was sent before.
        routes: groups.length > 1 || random.chance(50),
        connections: random.pick([1, 2, 8]),
        maxRequestRecords: random.pick([1, 4, 500]),
        accepted: (process, offset) => {
          accepted.add(offset)
          for (const group of groups.keys()) ledger.acked(process, group, offset)
        },
      }
      const senders = Array.from({ length: SENDERS }, (_, index) =>
        startSender(world, sources, network, `sender ${index + 1}`, settings),
      )
      const receivers = new Map<SimulatedProcess, Receiver>()
      return {
        partitions: groups.length,
        offsetOf: ({ id }) => Number(id),
        driver: (process, sink) => {
          const receiver = new Receiver({ world, sources, network, ledger, process, sink, groups, origins })
          receivers.set(process, receiver)
          return receiver
        },
        produce: () => {
          const offset = sent
          sent += 1
          for (const group of groups.keys()) ledger.produced(group, offset)
          const sender = senders[offset % SENDERS] as (typeof senders)[number]
          world.clock.schedule(0, sender.process, () => sender.send(offset, `key-${ledger.keyOf(offset)}`))
        },
        position: () => {
          for (let offset = 0; offset < sent; offset += 1) if (!accepted.has(offset)) return offset
          return sent
        },
        leftover: () => {
          const unanswered = network.connections.size
          return unanswered === 0 ? undefined : `${unanswered} requests have no answer`
        },
        kill: (process) => {
          receivers.get(process)?.gone()
          for (const connection of network.connectionsOf(process))
            connection.cut(0, random.chance(80) ? 1 : random.pick([random.between(100, 15_000), NEVER_MS]))
        },
        cut: (process) => {
          const connections = network.connectionsOf(process)
          if (connections.length === 0) return
          const chosen = random.chance(50) ? connections : [random.pick(connections)]
          const soon = (): number => (random.chance(60) ? random.between(0, 20) : random.between(100, 15_000))
          for (const connection of chosen) {
            const [serverMs, clientMs] = [soon(), soon()]
            world.log(
              process.name,
              `a request is cut: the receiver learns of it after ${serverMs} ms, the sender after ${clientMs} ms`,
            )
            connection.cut(serverMs, clientMs)
          }
        },
        froze: () => {},
        restart: (downMs) => {
          world.log('network', `is interrupted for ${downMs} ms`)
          network.interrupt(downMs)
        },
      } satisfies ProtocolRun
    },
  }
}

/** Any receiver may be sent any message. */
const TRUTH: GroundTruth = {
  fencing: 'sender',
  keys: KEYS,
  senders: SENDERS,
  isOwner: () => true,
  isUnaware: () => false,
  canRead: () => true,
  noticeMs: () => 0,
}

interface SenderSettings {
  readonly groups: readonly string[]
  readonly origins: readonly string[]
  readonly routes: boolean
  readonly connections: number
  readonly maxRequestRecords: number
  readonly accepted: (process: SimulatedProcess, offset: number) => void
}

function startSender(world: World, sources: Sources, network: ScriptedNetwork, name: string, settings: SenderSettings) {
  const { groups, origins, routes, connections, maxRequestRecords } = settings
  const process = new SimulatedProcess(name)
  const log = (text: string): void => world.log(process.name, `logs: ${text}`)
  const logger = { debug: log, info: log, warn: log, error: log } as unknown as Logger
  const options = {
    baseUrls: origins,
    routes: routes ? { [TOPIC.topic]: Object.fromEntries(groups.map((group) => [group, origins])) } : {},
    endpoints: {},
    connections,
    connectionTimeoutMs: 5_000,
    responseTimeoutMs: RESPONSE_TIMEOUT_MS,
    maxRequestRecords,
    maxRequestBytes: 8 * 1024 * 1024,
    maxPayloadBytes: 1024 * 1024,
  } as unknown as HttpOptionValues
  const client = new sources.HttpClient(
    options,
    logger,
    (origin) => new ScriptedPool(network, process, origin, connections).pool,
  )
  const spec = {
    topic: TOPIC,
    // Receivers may be away for longer than a producer usually bears.
    options: { notFoundGraceMs: 600_000 },
  } as unknown as ProducerSpec<HttpProducerOptionValues>
  const driver = new sources.HttpProducerDriver(spec, options, { prefix: '', nativeGroups: {} }, client)
  const sender = new SimulatedSender(world, process, driver, (offset) => settings.accepted(process, offset))
  const opened = driver.open()
  return {
    process,
    send: (offset: number, key: string): void => void opened.then(() => sender.send(offset, key)),
  }
}

interface ReceiverSettings {
  readonly world: World
  readonly sources: Sources
  readonly network: ScriptedNetwork
  readonly ledger: Ledger
  readonly process: SimulatedProcess
  readonly sink: ConsumerSink
  readonly groups: readonly string[]
  readonly origins: readonly string[]
}

interface Loop {
  readonly driver: ConsumerDriver
  readonly group: number
  /** As the loop's driver knows it. */
  readonly native: PartitionAssignment
}

/** The loops of one process, as one driver: one or two per group, which come and go while the others stay. */
class Receiver implements ConsumerDriver {
  readonly settlement = 'individual'
  readonly redelivery = 'sender'
  readonly settleIntervalMs = 0
  readonly #settings: ReceiverSettings
  readonly #loops = new Map<PartitionAssignment, Loop>()
  /** Of loops that are open, or open just now. */
  readonly #drivers = new Set<ConsumerDriver>()
  /** By group: what the loops have accepted since the first of those that are there has joined. */
  readonly #accepted: readonly Set<number>[]
  #hub: Hub | undefined
  #origin: string | undefined
  #leases = 0
  #epoch = 0
  #closed = false

  constructor(settings: ReceiverSettings) {
    this.#settings = settings
    this.#accepted = settings.groups.map(() => new Set<number>())
  }

  async open(signal: AbortSignal): Promise<void> {
    for (const group of this.#settings.groups.keys()) await this.#join(group, signal)
    this.#churn()
  }

  async ack(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    const loop = this.#loops.get(assignment)
    if (loop === undefined) return
    for (const delivery of deliveries) {
      this.#mustBeNew(loop.group, delivery)
      this.#accepted[loop.group]?.add(Number(delivery.id))
    }
    await loop.driver.ack?.(loop.native, deliveries)
  }

  async reject(assignment: PartitionAssignment, delivery: Delivery, error: unknown, afterMs: number): Promise<void> {
    const loop = this.#loops.get(assignment)
    await loop?.driver.reject?.(loop.native, delivery, error, afterMs)
  }

  async release(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    const loop = this.#loops.get(assignment)
    await loop?.driver.release?.(loop.native, deliveries)
  }

  async stop(): Promise<void> {
    this.#closed = true
    for (const driver of this.#drivers) await driver.stop?.()
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#drivers].map((driver) => driver.close()))
  }

  /** The process is gone. */
  gone(): void {
    if (this.#origin !== undefined) this.#settings.network.servers.delete(this.#origin)
    this.#origin = undefined
  }

  async #join(group: number, signal: AbortSignal): Promise<void> {
    const { sources, sink, groups, process } = this.#settings
    let own: PartitionAssignment | undefined
    let native: PartitionAssignment | undefined
    const inner: ConsumerSink = {
      ...sink,
      assigned: ([assignment]) => {
        native = assignment as PartitionAssignment
        this.#epoch += 1
        own = { topic: native.topic, partition: group, epoch: this.#epoch }
        this.#loops.set(own, { driver, group, native })
        sink.assigned([own])
      },
      deliver: (_, deliveries) => {
        for (const delivery of deliveries) this.#mustBeNew(group, delivery)
        return sink.deliver(own as PartitionAssignment, deliveries)
      },
      capacity: () => sink.capacity(own as PartitionAssignment),
    }
    const spec = {
      topics: [TOPIC],
      group: groups[group],
      brokerGroup: groups[group],
      member: `${process.name}-${this.#epoch}`,
      ordering: 'key',
      options: { method: 'POST', maxWaitingRecords: 20, maxWaitingBytes: 1_000_000, errorDetail: 'none' },
    } as unknown as ConsumerSpec<HttpConsumerOptionValues>
    const driver: ConsumerDriver = new sources.HttpConsumerDriver(spec, inner, '', () => this.#lease())
    this.#drivers.add(driver)
    await driver.open(signal)
  }

  /** A message that the group's loops here have accepted is known when it is sent again. One that comes for the first time, after all, is not. */
  #mustBeNew(group: number, { id, native }: Delivery): void {
    const { world, process } = this.#settings
    if (this.#accepted[group]?.has(Number(id)) === true && (native as InboundRecord).resend !== 0)
      world.violate(`${process.name} got offset ${id} again, which it had accepted`)
  }

  /** As `listener.ts`: the first loop of a process listens, the last one ends it. */
  async #lease(): Promise<Lease> {
    const { sources, network, process, origins, world } = this.#settings
    await new Promise<void>((resolve) => setTimeout(resolve, world.random.between(0, 5)))
    if (this.#hub === undefined) {
      const origin = origins.find((one) => !network.servers.has(one))
      if (origin === undefined) throw Object.assign(new Error('listen EADDRINUSE'), { code: 'EADDRINUSE' })
      const hub = new sources.Hub()
      network.listen(origin, process, (request, reply) => sources.handlePost(hub, LIMITS, request, reply))
      this.#hub = hub
      this.#origin = origin
      world.log(process.name, `listens at ${origin}`)
    }
    this.#leases += 1
    return {
      hub: this.#hub,
      server: undefined as unknown as Lease['server'],
      address: { host: 'scripted', port: 1 },
      exposed: false,
      release: async () => {
        this.#leases -= 1
        if (this.#leases > 0) return
        this.#hub = undefined
        this.gone()
      },
    }
  }

  /** Loops of this process come and go. */
  #churn(): void {
    const { world } = this.#settings
    if (!world.faulty || this.#closed) return
    setTimeout(() => void this.#change().then(() => this.#churn()), world.random.between(200, 6_000))
  }

  async #change(): Promise<void> {
    const { world, sink, process, groups } = this.#settings
    if (!world.faulty || this.#closed) return
    const group = world.random.between(0, groups.length - 1)
    const loops = [...this.#loops].filter(([, loop]) => loop.group === group)
    const [first] = loops
    // The loop may be closed while it joins.
    if (loops.length < 2 || first === undefined)
      return this.#join(group, new AbortController().signal).catch((error: unknown) => {
        world.log(process.name, `no further loop: ${String(error)}`)
      })
    const [assignment, { driver }] = first
    world.count('loop that leaves')
    world.log(process.name, `one loop of group ${groups[group]} leaves`)
    await driver.stop?.()
    await sink.revoked([assignment], 'graceful')
    await driver.close()
    this.#drivers.delete(driver)
    this.#loops.delete(assignment)
  }
}
