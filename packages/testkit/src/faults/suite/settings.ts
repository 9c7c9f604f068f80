import type { AdapterDefinition, TransportOptions } from '@streamswitch/core'
import type { Retention } from '@streamswitch/core/driver'
import type { TcpProxy } from '../tcp-proxy.js'

/** What can be done to the process at the other end. */
export interface FaultServer {
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
  /** Starts it again on its data; resolves when it answers. */
  start(): Promise<void>
}

/** A topic and its group, as they are called on the broker. */
export interface MeansTarget {
  readonly topic: string
  readonly group: string
  readonly partitions: number
}

/** What is done to a broker and its topics by its own tools, behind the adapter's back. */
export interface BrokerMeans {
  /**
   * Brings the broker to where it takes no message more: out of memory, an alarm, frozen. Resolves when it has been told.
   */
  exhaust(): Promise<void>
  /** Ends that. */
  relieve(): Promise<void>
  /** While it is exhausted nothing can be read or acked either. */
  readonly exhaustedAltogether?: boolean
  /**
   * Deletes a group, and its position. Left out: groups can't be deleted there. `groupsIdle`: only while they have no members.
   */
  deleteGroup?(target: MeansTarget): Promise<void>
  readonly groupsIdle?: boolean
  /**
   * Removes the oldest messages of a topic, those at the group's position among them. Left out: messages that a group hasn't acked can't
   * be removed from it. `overflow` sends about so many bytes more, for brokers that drop the oldest only by size.
   */
  trim?(target: MeansTarget, overflow: (bytes: number) => Promise<void>): Promise<void>
  /** Gives a topic more partitions than it was made with. Left out: nothing can. */
  addPartitions?(target: MeansTarget, count: number): Promise<void>
  /** Longest time until all goes on after the broker takes messages again, in milliseconds. */
  readonly exhaustedMs: number
  /** The same after a topic, its group or its partitions were changed. */
  readonly changedMs: number
}

/** Whom the faults happen to: a broker of one's own behind a proxy, or, without a broker, the place where receivers listen. */
export interface FaultStand extends AsyncDisposable {
  readonly proxy: TcpProxy
  /** Where producers connect: through the proxy. */
  readonly url: string
  /** Where loops connect; default: `url`. */
  readonly receiverUrl?: string
  /** Left out: there is no broker, and the receiving process takes its place. */
  readonly broker?: FaultServer
}

/** Longest time from the end of a fault (or its beginning, where it doesn't end by itself) until all goes on, in milliseconds. */
export interface RecoveryBounds {
  /** After a killed broker answers again. */
  readonly brokerKilled: number
  /** After a connection was cut, half-closed or reset. */
  readonly connectionLost: number
  /** After a connection went silent: it must be found out first. */
  readonly connectionSilent: number
  /** After a consumer was killed, until what it was handling is handled by another one. */
  readonly consumerKilled: number
  /** After a consumer froze, until another one has its work. */
  readonly consumerFrozen: number
  /** After a killed producer was started again. */
  readonly producerRestarted: number
  /** From SIGTERM to the end of the process while the other end can't be reached. */
  readonly exit: number
}

/** What the fault suite needs to know of an adapter. */
export interface FaultSettings {
  readonly adapter: AdapterDefinition
  /** The built adapter, for worker processes: a package name or the `file:` URL of its entry. */
  readonly module: string
  /**
   * Starts what the faults happen to; called once. A `string` says why there is nothing that may be harmed: every case is then
   * reported as not run, which fails.
   */
  readonly stand: () => Promise<FaultStand | string>
  /** Transport options that make timeouts short. */
  readonly options?: TransportOptions['options']
  /** Options of producers; JSON only. */
  readonly producer?: Readonly<Record<string, unknown>>
  /** Options of loops; JSON only. */
  readonly consumer?: Readonly<Record<string, unknown>>
  /** Options of a producer, for a topic, under which the broker of the stand drops what it has stored already by `sequence`. Left out: it doesn't. */
  readonly publishDedupe?: (topic: string) => Readonly<Record<string, unknown>>
  /** Where a group's `dedupe` keeps its marks: in the Redis of the stand (`RedisDedupeStore` of the adapter's module), or in an SQLite file. Default `sqlite`. */
  readonly marks?: 'redis' | 'sqlite'
  /** The driver itself repeats once, on a new connection, what a lost one left open, so that no resend need be counted. Default false. */
  readonly driverRepeats?: boolean
  /** Default 4; 1 for a transport without partitions. */
  readonly partitions?: number
  /** Longest time between a handler's success and its ack or commit, in milliseconds: part of the bound on duplicates. */
  readonly ackIntervalMs: number
  /** Most messages per partition that may be handled and not acked when a connection ends, if other than the prefetch. */
  readonly unackedPerPartition?: number
  /** How long a topic must exist until it survives the death of the broker, in milliseconds; default 0. */
  readonly ripeMs?: number
  readonly recovery: RecoveryBounds
  /**
   * Where the proxy of the stand can swallow deliveries alone (`TcpProxy.deafen`): after how long loops take that for a stall, and the longest
   * time until all goes on, in milliseconds. Left out: it can't.
   */
  readonly stall?: { readonly stallTimeoutMs: number; readonly recoveredMs: number }
  /** What the tools of the stand's broker can do. Left out: there is no broker, and items 22 to 24 and the slow consumer are not declared. */
  readonly means?: BrokerMeans
  /** How topics are bounded that are trimmed, where `means.trim` needs it. */
  readonly trimRetention?: Retention
  /** The longest time after which the broker gives up a silent member, in milliseconds. A slow consumer must outlast it twice. */
  readonly sessionMs?: number
  /** What the client may hold for a loop besides core's inbox, in bytes: fetches on their way. Default 4 MiB. */
  readonly fetchBytes?: number
  /** Packets per second that an idle loop sends at most, with the defaults of its options and whatever its partitions. Default 8. */
  readonly idlePackets?: number
}
