import type { AdapterDefinition, TransportOptions } from '@streamswitch/core'
import type { Retention } from '@streamswitch/core/driver'
import type { TcpProxy } from '../tcp-proxy.js'

/** Controls the process at the other end. */
export interface FaultServer {
  /** SIGKILL; resolves when it has ended. */
  kill(): Promise<void>
  /** Starts it again on its data; resolves when it answers. */
  start(): Promise<void>
}

/** A topic and its group, by their names on the broker. */
export interface MeansTarget {
  readonly topic: string
  readonly group: string
  readonly partitions: number
}

/** Actions on a broker and its topics by the broker's own tools, bypassing the adapter. */
export interface BrokerMeans {
  /** Makes the broker accept no more messages: out of memory, an alarm, frozen. Resolves when it has taken effect. */
  exhaust(): Promise<void>
  /** Ends that. */
  relieve(): Promise<void>
  /** While it is exhausted nothing can be read or acked either. */
  readonly exhaustedAltogether?: boolean
  /**
   * Deletes a group, and its committed offset. Default: groups can't be deleted there. `groupsIdle`: only while they
   * have no members.
   */
  deleteGroup?(target: MeansTarget): Promise<void>
  readonly groupsIdle?: boolean
  /**
   * Removes the oldest messages of a topic, including those at the group's committed offset. Default: messages that a
   * group hasn't acked can't be removed. `overflow` sends about this many bytes more, for brokers that drop the oldest
   * only by size.
   */
  trim?(target: MeansTarget, overflow: (bytes: number) => Promise<void>): Promise<void>
  /** Adds partitions to a topic. Default: not possible. */
  addPartitions?(target: MeansTarget, count: number): Promise<void>
  /** Maximum time until everything continues after the broker accepts messages again, in milliseconds. */
  readonly exhaustedMs: number
  /** The same after a topic, its group or its partitions were changed. */
  readonly changedMs: number
}

/**
 * The target of the faults: a separate broker behind a proxy, or, without a broker, the address where receivers listen.
 */
export interface FaultStand extends AsyncDisposable {
  readonly proxy: TcpProxy
  /** Where producers connect: through the proxy. */
  readonly url: string
  /** Where loops connect; default: `url`. */
  readonly receiverUrl?: string
  /** Default: there is no broker, and the receiving process is used instead. */
  readonly broker?: FaultServer
}

/**
 * Maximum time from the end of a fault (or its beginning, if it doesn't end on its own) until everything continues, in
 * milliseconds.
 */
export interface RecoveryBounds {
  /** After a killed broker answers again. */
  readonly brokerKilled: number
  /** After a connection was cut, half-closed or reset. */
  readonly connectionLost: number
  /** After a connection went silent, which must be detected first. */
  readonly connectionSilent: number
  /** After a consumer was killed, until another one handles its messages. */
  readonly consumerKilled: number
  /** After a consumer froze, until another one has its messages. */
  readonly consumerFrozen: number
  /** After a killed producer was started again. */
  readonly producerRestarted: number
  /** From SIGTERM to the end of the process while the other end can't be reached. */
  readonly exit: number
}

/** Settings of the fault suite for an adapter. */
export interface FaultSettings {
  readonly adapter: AdapterDefinition
  /** The built adapter, for worker processes: a package name or the `file:` URL of its entry. */
  readonly module: string
  /**
   * Starts the target of the faults; called once. A `string` is the reason why there is no target that may be harmed:
   * every case is then reported as not run, which fails.
   */
  readonly stand: () => Promise<FaultStand | string>
  /** Transport options that make timeouts short. */
  readonly options?: TransportOptions['options']
  /** Options of producers; JSON only. */
  readonly producer?: Readonly<Record<string, unknown>>
  /** Options of loops; JSON only. */
  readonly consumer?: Readonly<Record<string, unknown>>
  /**
   * Options of a producer, for a topic, under which the target's broker drops what it has already stored by `sequence`.
   * Default: not supported.
   */
  readonly publishDedupe?: (topic: string) => Readonly<Record<string, unknown>>
  /**
   * Where a group's `dedupe` stores its marks: in the target's Redis (`RedisDedupeStore` of the adapter's module), or
   * in an SQLite file. Default `sqlite`.
   */
  readonly marks?: 'redis' | 'sqlite'
  /**
   * The driver itself repeats once, on a new connection, what a lost one had pending, so that no resend need be
   * counted. Default false.
   */
  readonly driverRepeats?: boolean
  /** Default 4; 1 for a transport without partitions. */
  readonly partitions?: number
  /**
   * Maximum time between a handler's success and its ack or commit, in milliseconds: part of the bound on duplicates.
   */
  readonly ackIntervalMs: number
  /**
   * Maximum number of messages per partition that may be handled and not acked when a connection ends, if other than
   * the prefetch.
   */
  readonly unackedPerPartition?: number
  /** How long a topic must exist until it survives the death of the broker, in milliseconds; default 0. */
  readonly ripeMs?: number
  readonly recovery: RecoveryBounds
  /**
   * Set if the target's proxy can drop only deliveries (`TcpProxy.deafen`): the time after which loops detect a stall,
   * and the maximum time until everything continues, in milliseconds. Default: not supported.
   */
  readonly stall?: { readonly stallTimeoutMs: number; readonly recoveredMs: number }
  /**
   * Actions by the tools of the target's broker. Default: there is no broker, and items 22 to 24 and the slow consumer
   * are not declared.
   */
  readonly means?: BrokerMeans
  /** Retention of topics that are trimmed, if `means.trim` needs it. */
  readonly trimRetention?: Retention
  /**
   * Maximum time after which the broker gives up a silent member, in milliseconds. A slow consumer must outlast it
   * twice.
   */
  readonly sessionMs?: number
  /** Memory that the client may use for a loop besides core's inbox, in bytes: fetches in flight. Default 4 MiB. */
  readonly fetchBytes?: number
  /** Packets per second that an idle loop sends at most, with the defaults of its options and whatever its partitions. Default 8. */
  readonly idlePackets?: number
}
