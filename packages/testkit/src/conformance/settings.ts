import type { AdapterDefinition, DedupeStore, TransportOptions } from '@streamswitch/core'

/** Topics and groups of one test: passed before it opens a transport, for adapters whose routes are configured. */
export interface Topology {
  /** Topics to which messages are sent. */
  readonly topics: readonly string[]
  /** Groups that consume all of these topics. Empty when the test needs a topic without any group. */
  readonly groups: readonly string[]
  /** `foreign-read`: the receiver is the foreign client. */
  readonly purpose: 'ordinary' | 'foreign-read'
}

/** A record as a foreign client sees it. */
export interface ForeignRecord {
  readonly body: Buffer
  readonly key?: string | undefined
  /**
   * Raw values for the fields where Streamswitch has these values on this transport (`docs/wire-format.md`), valid or
   * not.
   */
  readonly raw?: RawFields | undefined
}

/** Values that a foreign sender may write to the fields of ids, timestamps and headers. */
export interface RawFields {
  readonly id?: string
  readonly timestamp?: string
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * A client of the same broker that is not the adapter's own driver: `redis-cli`, `kcat`, `curl`, another library. It
 * writes without Streamswitch headers and reads without knowing them.
 */
export interface ForeignClient {
  /** For the titles of tests: `redis-cli`. */
  readonly name: string
  /**
   * Which `RawFields` it can write: everything, or ids of printable characters only (HTTP, where others are
   * refused with 400).
   */
  readonly raw: 'everything' | 'ids'
  /**
   * Writes a record; resolves when the broker has it. `group`: the receiver, for transports that address it (HTTP).
   */
  write(topic: string, record: ForeignRecord, group: string): Promise<void>
  /**
   * Size of a body that it can write although our own sender is limited to less (`limits.maxPayloadBytes`), in bytes.
   * Default: the broker or server refuses such bodies.
   */
  readonly oversizedBytes?: number
  /** Called before anything is sent to the topic, if reading must be prepared (a queue bound, a server started). */
  prepareRead?(topic: string, topology: Topology): Promise<void>
  /** Resolves with the first `count` records of the topic, with keys if the transport shows them. */
  read(topic: string, count: number): Promise<readonly ForeignRecord[]>
}

/** Options that make the transport's own timeouts short, so that a slow handler outlasts them. */
export interface ShortTimeouts {
  /** Transport options, as in `openTransport(url, { options })`. */
  readonly transport?: Readonly<Record<string, unknown>>
  /** Options of the loop, for example `{ redis: { leaseMs: 1_000 } }`. */
  readonly consumer?: Readonly<Record<string, unknown>>
  /** How long the handler takes, in milliseconds: more than twice the maximum of those timeouts. */
  readonly handlerMs: number
}

/** A dedupe store for one test. */
export interface OpenDedupeStore {
  readonly store: DedupeStore
  close(): Promise<void>
}

/** Access with full permissions, for what the suite does besides the product under test. */
export interface Harness {
  /** Address with full permissions: topics are listed and deleted there when a case is over, or as part of it. */
  readonly url: (topology: Topology) => string | Promise<string>
  /**
   * Called when a case is over, while its transports, producers and loops are still open. Rejects when one of their
   * connections is wrong.
   */
  checkConnections(): Promise<void>
  /** Called when all cases are over. Rejects when the broker has shown no connection of the product. */
  checkAnyConnection(): Promise<void>
}

/** Settings of the suite for an adapter. */
export interface ConformanceSettings {
  /** The adapter: the default export of its package. Need not be registered. */
  readonly adapter: AdapterDefinition
  /** Address of the real broker. Called for every test, after `openOptions`. */
  readonly url: (topology: Topology) => string | Promise<string>
  /** Options of every transport that the suite opens. As a function: called for every test. The environment is empty unless given here. */
  readonly openOptions?: TransportOptions | ((topology: Topology) => TransportOptions | Promise<TransportOptions>)
  /** Limits under these options. */
  readonly limits: {
    /**
     * Maximum payload that the transport accepts, in bytes: at least 65,536. An option of the transport may keep it
     * below 16 MiB, for a payload of that size is sent.
     */
    readonly maxPayloadBytes: number
  }
  /** Partitions of the topics whose messages are spread. Default 8; 1 for a transport without partitions. */
  readonly partitions?: number
  /** What redelivers a failed message, as the consumer driver declares it. Default `core`. */
  readonly redelivery?: 'core' | 'sender'
  /** Options that make the test of slow handlers meaningful. Default: no options, a handler of 3,000 ms. */
  readonly shortTimeouts?: ShortTimeouts
  /** Dedupe stores to test besides memory, by name. Each is opened for every test, with the test's address, and closed after it. */
  readonly dedupeStores?: Readonly<Record<string, (url: string) => OpenDedupeStore | Promise<OpenDedupeStore>>>
  /** Required if `multiProcess` is declared: without it the tests with foreign clients fail. */
  readonly foreign?: ForeignClient
  /** Address at which nothing listens. Default: the suite's own URL at a closed port of 127.0.0.1. */
  readonly absentUrl?: string
  /**
   * Set when the connections of `url` have limited permissions: the harness's own connections, and how they are
   * distinguished. Default: both are the same.
   */
  readonly harness?: Harness
  /** The broker's address with the wrong password `wrong-secret`. Default: the broker checks no credentials. */
  readonly badCredentialsUrl?: string
}
