import type { ProducerDriver, ProducerReady } from '../contract/producer-driver.js'
import type { ErrorCode, StreamError } from '../errors.js'
import { nextTurn } from '../time.js'
import type { BatchInFlight } from './batch-in-flight.js'
import { Lane, type LaneHost } from './lane.js'
import { type PendingRecord, RecordState } from './pending-record.js'

/** Maximum number of lanes kept without work. */
const MAX_IDLE_LANES = 256

/** The pipeline, as its router uses it. */
export interface RouterHost extends LaneHost {
  readonly limits: LaneHost['limits'] & { readonly lingerMs: number }
  /** Fails a record that can't be sent, unless it already has an outcome. */
  abandon(record: PendingRecord, error: StreamError): void
  error(code: ErrorCode, message: string, operation: string): StreamError
}

/** Routes admitted records to the lanes that the driver's partitioner chooses, and makes the lanes send. */
export class LaneRouter {
  readonly #host: RouterHost
  readonly #lanes = new Map<number, Lane>()
  /** Admitted before the first driver was open: no lane is known yet. */
  #unrouted: PendingRecord[] = []
  #ready: ProducerReady | undefined
  /** The partitioner of the last open driver: it continues to choose lanes during an outage. */
  #laneOf: (record: PendingRecord) => number = () => 0
  #pumpScheduled = false

  constructor(host: RouterHost) {
    this.#host = host
  }

  /** Whether a driver has been open. */
  get ready(): boolean {
    return this.#ready !== undefined
  }

  /** A driver is open: waiting records get their lane, and all lanes send. */
  opened(driver: ProducerDriver, ready: ProducerReady): void {
    this.#ready = ready
    this.#laneOf = (record) => driver.laneOf?.(record) ?? 0
    const waiting = this.#unrouted
    this.#unrouted = []
    for (const record of waiting) this.route(record)
    this.pump()
  }

  /** The driver is lost: its records are sent again by the next one. */
  disconnected(): void {
    for (const lane of this.#lanes.values()) lane.disconnected()
  }

  /** Queues a record in its lane; one that the driver can't accept is abandoned, after this call. */
  route(record: PendingRecord): void {
    if (record.state === RecordState.Settled) return
    const ready = this.#ready
    if (ready === undefined) {
      this.#unrouted.push(record)
      return
    }
    const problem = this.#check(record, ready)
    if (problem !== undefined) return queueMicrotask(() => this.#host.abandon(record, problem))
    const number = this.#laneOf(record)
    let lane = this.#lanes.get(number)
    if (lane === undefined) {
      lane = new Lane(number, this.#host)
      this.#lanes.set(number, lane)
    }
    lane.add(record)
  }

  /** Makes the lanes send after `lingerMs`, so that a batch gathers what is sent until then. */
  schedulePump(): void {
    if (this.#pumpScheduled) return
    this.#pumpScheduled = true
    const pump = (): void => {
      this.#pumpScheduled = false
      this.pump()
    }
    if (this.#host.limits.lingerMs === 0) nextTurn(pump)
    else setTimeout(pump, this.#host.limits.lingerMs)
  }

  pump(): void {
    for (const lane of this.#lanes.values()) lane.pump()
  }

  /** Lanes without work are removed when a driver has many (one per key): otherwise they would grow without bound. */
  idle(lane: Lane): void {
    if (this.#lanes.size > MAX_IDLE_LANES) this.#lanes.delete(lane.number)
  }

  /** Returns a batch in flight that was sent at this tick or before, if there is one. */
  overdue(tick: number): BatchInFlight | undefined {
    for (const lane of this.#lanes.values()) {
      for (const batch of lane.inFlight) if (batch.sentTick <= tick) return batch
    }
    return undefined
  }

  /** Forgets records that wait for the first driver; their owners were notified. */
  clearUnrouted(): void {
    this.#unrouted = []
  }

  /** Drops everything; the caller has settled it. */
  clear(): void {
    for (const lane of this.#lanes.values()) lane.clear()
  }

  #check(record: PendingRecord, ready: ProducerReady): StreamError | undefined {
    const bytes = record.payload?.length ?? 0
    // What could be received can be sent again: the sender's own limit applies to new messages.
    if (bytes > ready.maxPayloadBytes && record.original?.part !== 'message') {
      const message = `the payload has ${bytes} bytes, the transport accepts at most ${ready.maxPayloadBytes}: send less, or a reference to where it is stored`
      return this.#host.error('TOO_LARGE', message, 'send')
    }
    if (record.partition !== undefined && record.partition >= ready.partitions) {
      const message = `partition ${record.partition} doesn't exist: the topic has ${ready.partitions}, counted from 0`
      return this.#host.error('INVALID_ARGUMENT', message, 'send')
    }
    return undefined
  }
}
