import {
  type AttemptJournal,
  type ConsumerDriver,
  type ConsumerSink,
  type Delivery,
  isStreamError,
  type PartitionAssignment,
  type StartPosition,
} from '@streamswitch/core/driver'
import type { Ledger } from './ledger.js'
import type { SimulatedProcess, World } from './world.js'

const CAPACITY = 10
const RECONNECT_MS = 500
const CONNECT_TIMEOUT_MS = 10_000
const CLOSE_MS = 5_000
const RETRY_AFTER_MS = 200
/** What runs in a partition has so long to end before its group is moved, in milliseconds. */
const SEEK_MS = 10_000
/** Acks get at least this long after the handlers have ended. */
const SETTLE_MS = 500

/** Where a delivery is in its partition. */
export type OffsetOf = (delivery: Delivery) => number

export interface MemberSettings {
  readonly world: World
  readonly ledger: Ledger
  readonly process: SimulatedProcess
  readonly driver: (sink: ConsumerSink) => ConsumerDriver
  readonly offsetOf: OffsetOf
  /** How long a handler takes, in milliseconds. */
  readonly handlerMs: () => number
  /** Whether a handler fails, where the driver has failures sent again. */
  readonly fails: () => boolean
}

interface Running {
  readonly delivery: Delivery
  /** Missing while its start is being noted. */
  timer: NodeJS.Timeout | undefined
}

interface Held {
  readonly assignment: PartitionAssignment
  readonly waiting: Delivery[]
  /** Handlers that run, or are about to, by key. */
  readonly running: Map<number, Running>
  /** Handled, and not settled. */
  readonly done: Delivery[]
  settling: Promise<void> | undefined
  draining: boolean
  closed: boolean
  room: (() => void) | undefined
  quiet: (() => void)[]
}

/**
 * What core is for a driver, by the contract of `ConsumerSink` and no more: hands deliveries to handlers, one by one within each key, settles what is
 * done, drains revoked partitions, and replaces a driver that is lost.
 */
export class SimulatedMember {
  readonly process: SimulatedProcess
  readonly #settings: MemberSettings
  readonly #held = new Map<PartitionAssignment, Held>()
  #driver: ConsumerDriver | undefined
  #leaving = false
  #left = false

  constructor(settings: MemberSettings) {
    this.#settings = settings
    this.process = settings.process
  }

  /** True once it has left in good order. */
  get left(): boolean {
    return this.#left
  }

  start(): void {
    this.#connect(0)
  }

  /** What it acquires from now on is a mistake. */
  willLeave(): void {
    this.#leaving = true
  }

  /** Moves the group in a partition that it holds, as core does: what runs ends first. */
  async seek(target: (partition: number) => StartPosition | undefined): Promise<void> {
    const driver = this.#driver
    const { world, process } = this.#settings
    const all = [...this.#held.values()]
    if (this.#leaving || driver?.seek === undefined || all.length === 0) return
    const held = world.random.pick(all)
    if (held.draining) return
    const { assignment } = held
    await this.#drain(held, driver, SEEK_MS)
    this.#close(held)
    const position = target(assignment.partition)
    if (position === undefined || this.#driver !== driver) return
    world.log(process.name, `moves the group in partition ${assignment.partition} to ${JSON.stringify(position)}`)
    try {
      await driver.seek(assignment, position)
      world.count('seek')
    } catch (error) {
      // A driver that holds what was let go here is replaced.
      world.count('seek that failed')
      this.#abandon(driver, error)
    }
  }

  /** Leaves in good order. */
  async leave(): Promise<void> {
    const driver = this.#driver
    await driver?.stop()
    await this.#within(
      Promise.all([...this.#held.values()].map((held) => this.#drain(held, driver, CLOSE_MS))),
      CLOSE_MS,
    )
    for (const held of [...this.#held.values()]) this.#close(held)
    this.#driver = undefined
    await driver?.close()
    this.#left = true
  }

  #connect(delayMs: number): void {
    setTimeout(() => void this.#open(), delayMs)
  }

  async #open(): Promise<void> {
    if (this.#leaving) return
    const { world, process, driver: create } = this.#settings
    let lost = false
    const sink = this.#sink(
      () => this.#driver ?? driver,
      (error) => {
        if (lost) return
        lost = true
        this.#abandon(driver, error)
      },
    )
    const driver: ConsumerDriver = create(sink)
    this.#driver = driver
    const deadline = new AbortController()
    const timer = setTimeout(() => deadline.abort(new Error('not joined in time')), CONNECT_TIMEOUT_MS)
    try {
      await Promise.race([driver.open(deadline.signal), aborted(deadline.signal)])
    } catch (error) {
      world.log(process.name, `not joined: ${String(error)}`)
      if (this.#driver !== driver) return
      this.#driver = undefined
      for (const held of [...this.#held.values()]) this.#close(held)
      await driver.close()
      this.#connect(RECONNECT_MS * (1 + world.random.next()))
    } finally {
      clearTimeout(timer)
    }
  }

  #abandon(driver: ConsumerDriver, error: unknown): void {
    const { world, process } = this.#settings
    world.log(process.name, `lost: ${String(error)}`)
    if (this.#driver !== driver) return
    this.#driver = undefined
    for (const held of [...this.#held.values()]) this.#close(held)
    void driver.close().then(() => this.#connect(RECONNECT_MS * (1 + world.random.next())))
  }

  #sink(driver: () => ConsumerDriver, lost: (error: unknown) => void): ConsumerSink {
    const { ledger, process } = this.#settings
    return {
      assigned: (assignments) => {
        for (const assignment of assignments) {
          ledger.acquired(process, assignment.partition, assignment.epoch, this.#leaving)
          this.#held.set(assignment, {
            assignment,
            waiting: [],
            running: new Map(),
            done: [],
            settling: undefined,
            draining: false,
            closed: false,
            room: undefined,
            quiet: [],
          })
        }
      },
      revoked: async (assignments, how, deadlineMs = 10_000) => {
        const held = assignments.map((one) => this.#held.get(one)).filter((one) => one !== undefined)
        if (how === 'graceful') await Promise.all(held.map((one) => this.#drain(one, driver(), deadlineMs)))
        for (const one of held) this.#close(one)
      },
      deliver: (assignment, deliveries) => {
        const held = this.#held.get(assignment)
        if (held === undefined || held.draining) return undefined
        for (const delivery of deliveries) this.#mustBeNew(held, delivery)
        held.waiting.push(...deliveries)
        this.#pump(held, driver)
        if (held.waiting.length < CAPACITY) return undefined
        return new Promise((resolve) => {
          held.room = resolve
        })
      },
      capacity: (assignment) => Math.max(0, CAPACITY - (this.#held.get(assignment)?.waiting.length ?? CAPACITY)),
      lost,
      outOfRange: () => 'earliest',
      partitionStopped: () => 'wait',
      partitionResumed: () => {},
      startIgnored: () => {},
      report: (error) => this.#settings.world.log(process.name, `reports: ${String(error)}`),
    }
  }

  /** A message that is in hand isn't given a second time, unless senders repeat them. */
  #mustBeNew({ assignment, waiting, running, done }: Held, delivery: Delivery): void {
    const { ledger, offsetOf, world, process } = this.#settings
    if (ledger.isResent) return
    const offset = offsetOf(delivery)
    const inHand = [...waiting, ...[...running.values()].map((one) => one.delivery), ...done]
    if (inHand.some((other) => offsetOf(other) === offset))
      world.violate(`${process.name} is given offset ${offset} of partition ${assignment.partition} twice`)
  }

  #pump(held: Held, driver: () => ConsumerDriver): void {
    while (!held.draining && !held.closed) {
      const index = held.waiting.findIndex((delivery) => !held.running.has(this.#keyOf(delivery)))
      const delivery = held.waiting[index]
      if (delivery === undefined) return
      held.waiting.splice(index, 1)
      this.#start(held, delivery, driver)
    }
  }

  /** The start of a suspect is noted before. */
  #start(held: Held, delivery: Delivery, driver: () => ConsumerDriver): void {
    const one: Running = { delivery, timer: undefined }
    const key = this.#keyOf(delivery)
    held.running.set(key, one)
    if (held.waiting.length < CAPACITY) {
      held.room?.()
      held.room = undefined
    }
    const { attempts } = driver()
    if (attempts === undefined || !delivery.suspect) {
      if (attempts !== undefined) this.#noteRepeated(held, delivery, attempts)
      return this.#handle(held, one, driver)
    }
    const handle = (): void => {
      if (held.running.get(key) === one && !held.draining) this.#handle(held, one, driver)
    }
    // A start that can't be noted doesn't keep the message waiting.
    void attempts.starting(held.assignment, delivery, delivery.attempt).then(handle, handle)
  }

  /** Some handlings follow one that failed, and their start is put on record. A late record does no harm where it is refused. */
  #noteRepeated({ assignment }: Held, delivery: Delivery, attempts: AttemptJournal): void {
    const { ledger, world } = this.#settings
    if (ledger.repeatedPercent === 0 || !world.random.chance(ledger.repeatedPercent)) return
    attempts.starting(assignment, delivery, 1).catch(() => {})
  }

  #handle(held: Held, one: Running, driver: () => ConsumerDriver): void {
    const { ledger, process, handlerMs, fails, offsetOf } = this.#settings
    const { partition } = held.assignment
    const offset = offsetOf(one.delivery)
    ledger.started(process, partition, offset)
    one.timer = setTimeout(() => {
      held.running.delete(this.#keyOf(one.delivery))
      ledger.ended(process, partition, offset)
      const { reject } = driver()
      if (reject !== undefined && fails())
        void reject.call(driver(), held.assignment, one.delivery, new Error('failed'), RETRY_AFTER_MS)
      else {
        ledger.handled(process, partition, offset)
        held.done.push(one.delivery)
        this.#settle(held, driver)
      }
      if (held.running.size === 0) this.#wake(held)
      this.#pump(held, driver)
    }, handlerMs())
  }

  #keyOf(delivery: Delivery): number {
    return this.#settings.ledger.keyOf(this.#settings.offsetOf(delivery))
  }

  /** Commits or acks what is done, after the driver's interval. */
  #settle(held: Held, driver: () => ConsumerDriver): void {
    if (held.settling !== undefined) return
    held.settling = new Promise<void>((resolve) =>
      setTimeout(resolve, held.draining ? 0 : driver().settleIntervalMs),
    ).then(() => this.#commit(held, driver()))
  }

  async #commit(held: Held, driver: ConsumerDriver): Promise<void> {
    for (let attempt = 1; held.done.length > 0 && !held.closed; attempt += 1) {
      const done = held.done.splice(0)
      try {
        if (driver.settlement === 'individual') await driver.ack?.(held.assignment, done)
        else await driver.commit?.(held.assignment, done.at(-1) as Delivery)
      } catch (error) {
        if (!isStreamError(error) || !error.retryable || held.closed) break
        held.done.unshift(...done)
        await new Promise<void>((resolve) => setTimeout(resolve, 100 * attempt))
      }
    }
    held.settling = undefined
  }

  /** Lets the running handlers end, or ends them after the deadline, gives back what wasn't started, and settles. */
  async #drain(held: Held, driver: ConsumerDriver | undefined, deadlineMs: number): Promise<void> {
    held.draining = true
    const waiting = held.waiting.splice(0)
    for (const [key, { delivery, timer }] of [...held.running]) {
      if (timer !== undefined) continue
      held.running.delete(key)
      waiting.unshift(delivery)
    }
    if (waiting.length > 0) await driver?.release?.(held.assignment, waiting)
    held.room?.()
    const { world } = this.#settings
    const deadline = world.now + deadlineMs
    if (held.running.size > 0) await this.#within(new Promise<void>((wake) => held.quiet.push(wake)), deadlineMs)
    this.#abort(held)
    const rest = Math.max(SETTLE_MS, deadline - world.now)
    if (driver !== undefined)
      await this.#within(
        (held.settling ?? Promise.resolve()).then(() => this.#commit(held, driver)),
        rest,
      )
  }

  #abort(held: Held): void {
    const { ledger, process, offsetOf } = this.#settings
    for (const { timer, delivery } of held.running.values()) {
      if (timer === undefined) continue
      clearTimeout(timer)
      ledger.ended(process, held.assignment.partition, offsetOf(delivery))
    }
    held.running.clear()
  }

  #close(held: Held): void {
    if (held.closed) return
    held.closed = true
    held.draining = true
    this.#abort(held)
    held.room?.()
    this.#wake(held)
    this.#held.delete(held.assignment)
    const { partition, epoch } = held.assignment
    this.#settings.ledger.released(this.process, partition, epoch)
  }

  #wake(held: Held): void {
    for (const wake of held.quiet.splice(0)) wake()
  }

  async #within(promise: Promise<unknown>, ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms)
    })
    await Promise.race([promise.catch(() => {}), timeout])
    clearTimeout(timer)
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
}
