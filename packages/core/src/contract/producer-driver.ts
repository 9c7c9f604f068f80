import type { OutgoingRecord, PublishBatch } from './record.js'

/** Core's side of a producer driver. */
export interface ProducerSink {
  /** The connection is gone for good. Core closes this driver and opens a fresh one after a backoff. Called once at most; cheap, never throws. */
  lost(error: unknown): void
}

/** What a driver tells core once it is open. */
export interface ProducerReady {
  /** Partitions of the topic, for checking an explicit `partition`. */
  readonly partitions: number
  /**
   * Largest payload that the transport takes, in bytes; larger ones are refused with TOO_LARGE before any I/O. The user's option, but for a topic of
   * dead letters (`TopicSpec.role`): there what the protocol or broker can hold, since what could be received must be written as well.
   */
  readonly maxPayloadBytes: number
}

/**
 * Publishes encoded records of one topic. Written by adapters, called by core only.
 *
 * A driver lives for one connection: core calls `open` once, `publish` any number of times, `close` once, and makes a fresh
 * driver after a loss. It never reconnects, never resends and never waits for a connection to come back: it reports, core
 * decides. (Connection-less transports such as HTTP simply never report a loss.)
 */
export interface ProducerDriver {
  /**
   * How many batches of one lane may be in flight. More than 1 only where a failed batch can't be overtaken by a later one of
   * the same lane that succeeds, or where the broker offers nothing better (say so in the transport's page).
   */
  readonly maxInFlightBatches: number

  /**
   * How long a batch may be unsettled before core condemns the driver, in milliseconds, in place of the producer's
   * `publishTimeoutMs`. For transports whose answer waits for more than their own work (an HTTP response that waits for a handler);
   * `Infinity` where the driver bounds each batch itself.
   */
  readonly publishTimeoutMs?: number

  /** What `open` waits for now, as an error may continue after 'waited for': `the topic to be created`. Default: nothing is said. */
  readonly waitingFor?: string | undefined

  /**
   * Connects and makes or checks the topic, as `provision` says. Rejects with a classified error. `signal` aborts when the time
   * for this attempt is over or the producer is closed: give up promptly and release what was opened.
   */
  open(signal: AbortSignal): Promise<ProducerReady>

  /**
   * The lane of a record: order is kept within a lane, lanes don't wait for each other. A driver with partitions returns the
   * partition. Called once per record, must not throw. Left out: one lane.
   */
  laneOf?(record: OutgoingRecord): number

  /**
   * Sends a batch and reports each record's outcome on it. Called again for the same lane before the promise settles, up to
   * `maxInFlightBatches`; batches must reach the broker in the order of the calls. The promise settles when all that will be
   * reported has been; it need not reject. Core puts a deadline on it and treats its passing as a lost connection.
   * Synchronous completion (returning nothing) is allowed.
   */
  publish(batch: PublishBatch): Promise<void> | void

  /** Resolves when the broker answers. Core calls it when nothing was heard for a while, with a deadline, to find dead peers. */
  probe?(): Promise<void>

  /** Releases everything. Never rejects, never hangs longer than a few seconds, may follow a failed `open`. Unreported records count as ambiguous. */
  close(): Promise<void>
}
