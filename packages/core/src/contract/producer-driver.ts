import type { OutgoingRecord, PublishBatch } from './record.js'

/** Core's side of a producer driver. */
export interface ProducerSink {
  /**
   * The connection is permanently lost. Core closes this driver and opens a fresh one after a backoff. Call it at most
   * once; cheap, never throws.
   */
  lost(error: unknown): void
}

/** What a driver reports once it is open. */
export interface ProducerReady {
  /** Number of the topic's partitions, for checking an explicit `partition`. */
  readonly partitions: number
  /**
   * Maximum payload, in bytes; larger ones are refused with TOO_LARGE before any I/O. The user's option, except for a
   * topic of dead letters (`TopicSpec.role`): there the limit of the protocol or broker, since everything that could be
   * received must be writable.
   */
  readonly maxPayloadBytes: number
}

/**
 * Publishes encoded records of one topic. Implemented by adapters, called by core only.
 * A driver lives for one connection: core calls `open` once, `publish` any number of times, `close` once, and creates a
 * fresh driver after a loss. It never reconnects, never resends and never waits for a connection to come back: it
 * reports, core decides. (Connectionless transports such as HTTP never report a loss.)
 */
export interface ProducerDriver {
  /**
   * How many batches of one lane may be in flight. More than 1 only if a failed batch can't be overtaken by a later one
   * of the same lane that succeeds, or if the broker offers nothing better (document it on the transport's page).
   */
  readonly maxInFlightBatches: number

  /**
   * How long a batch may be unsettled before core gives the driver up, in milliseconds, instead of the producer's
   * `publishTimeoutMs`. For transports whose response waits for more than their own work (an HTTP response that waits
   * for a handler); `Infinity` if the driver limits each batch itself.
   */
  readonly publishTimeoutMs?: number

  /**
   * What `open` currently waits for, as an error may continue after 'waited for': `the topic to be created`. Default:
   * nothing.
   */
  readonly waitingFor?: string | undefined

  /**
   * Connects and creates or verifies the topic, as `provision` says. Rejects with a classified error. `signal` aborts
   * when the time for this attempt is over or the producer is closed: give up promptly and release what was opened.
   */
  open(signal: AbortSignal): Promise<ProducerReady>

  /**
   * Returns the lane of a record: order is kept within a lane, lanes don't wait for each other. A driver with
   * partitions returns the partition. Called once per record, must not throw. Default: one lane.
   */
  laneOf?(record: OutgoingRecord): number

  /**
   * Sends a batch and reports each record's outcome on it. Called again for the same lane before the promise settles,
   * up to `maxInFlightBatches`; batches must reach the broker in the order of the calls. The promise settles when every
   * outcome has been reported; it need not reject. Core sets a deadline and treats its expiry as a lost connection.
   * Synchronous completion (returning nothing) is allowed.
   */
  publish(batch: PublishBatch): Promise<void> | void

  /**
   * Resolves when the broker answers. Core calls it when nothing was received for a while, with a deadline, to detect
   * dead peers.
   */
  probe?(): Promise<void>

  /** Releases everything. Never rejects, never hangs longer than a few seconds, may follow a failed `open`. Unreported records count as ambiguous. */
  close(): Promise<void>
}
