import type { Randomness } from '../faults/soak/randomness.js'
import { type JudgedPromise, Tally } from './tally.js'
import { Actor, VirtualClock } from './virtual-clock.js'

/** A slow call takes so long at most, in one direction. */
export const SLOW_CALL_MS = 4_000

/** One line of what happened. */
export interface HistoryEntry {
  readonly at: number
  readonly actor: string
  readonly text: string
}

/** A process with one member. */
export class SimulatedProcess extends Actor {
  /** Calls take long until then. */
  slowUntil = 0
  /** Since when nothing has disturbed its connections or itself. */
  calmSince = 0
}

/** What all parts of one simulation share. */
export class World {
  readonly random: Randomness
  readonly outside = new Actor('simulation')
  readonly broker = new Actor('broker')
  readonly clock = new VirtualClock(this.outside)
  readonly history: HistoryEntry[] = []
  readonly violations: string[] = []
  readonly processes: SimulatedProcess[] = []
  readonly tally = new Tally()
  /** By receiver: answers that are in flight, in the order in which they were sent. */
  readonly #answers = new Map<Actor, Set<Answer>>()
  /** Faults still happen. A scripted broker may add its own at the worst of moments. */
  faulty = true

  constructor(random: Randomness) {
    this.random = random
  }

  get now(): number {
    return this.clock.now
  }

  log(actor: string, text: string): void {
    this.history.push({ at: this.now, actor, text })
  }

  /** A promise of the protocol is broken: the run ends here. */
  violate(text: string): void {
    this.violations.push(text)
    this.log('VIOLATION', text)
  }

  /** Something happened that is to happen in random schedules. */
  count(event: string): void {
    this.tally.count(event)
  }

  /** A promise was compared with what happened. */
  judge(promise: JudgedPromise): void {
    this.tally.judge(promise)
  }

  /** An answer leaves for its receiver. */
  answerSent(answer: Answer): void {
    const answers = this.#answers.get(answer.receiver) ?? new Set()
    this.#answers.set(answer.receiver, answers.add(answer))
  }

  /** It arrives: before another one that was sent earlier, perhaps, by another connection. */
  answerArrived(answer: Answer): void {
    const answers = this.#answers.get(answer.receiver)
    for (const earlier of answers ?? []) {
      if (earlier === answer) break
      if (earlier.isLost()) answers?.delete(earlier)
      else {
        this.count('reordered replies')
        break
      }
    }
    answers?.delete(answer)
  }

  /** Calls of the process take long from now on. */
  slowDown(process: SimulatedProcess, ms: number): void {
    this.log(process.name, `has slow calls for ${ms} ms`)
    process.slowUntil = Math.max(process.slowUntil, this.now + ms)
    process.calmSince = Math.max(process.calmSince, process.slowUntil + SLOW_CALL_MS)
  }

  /** How long a frame travels between a process and the broker, in milliseconds. */
  latency(process: SimulatedProcess): number {
    const usual = this.random.next() * 3
    if (this.now >= process.slowUntil) return usual
    this.count('slow call')
    return usual + this.random.next() * SLOW_CALL_MS
  }
}

/** An answer in flight. */
interface Answer {
  readonly receiver: Actor
  isLost(): boolean
}

interface Frame {
  readonly arrived: () => void
  readonly lost: () => void
}

/** Frames in one direction of a connection: in order, those of one turn together, lost once it is cut. */
export class Pipe {
  readonly #world: World
  readonly #receiver: Actor
  readonly #latency: () => number
  #lastAt = 0
  #open = true
  #batch: { readonly turn: number; readonly frames: Frame[] } | undefined

  constructor(world: World, receiver: Actor, latency: () => number) {
    this.#world = world
    this.#receiver = receiver
    this.#latency = latency
  }

  /** What nobody waits for. */
  send(arrived: () => void): void {
    this.#post({ arrived, lost: () => {} })
  }

  request(arrived: () => void): void {
    this.#post({ arrived, lost: () => this.#world.count('lost request') })
  }

  /** Of a request that was carried out. */
  answer(arrived: () => void): void {
    const world = this.#world
    const answer = { receiver: this.#receiver, isLost: () => !this.#open }
    if (this.#open) world.answerSent(answer)
    this.#post({
      arrived: () => {
        world.answerArrived(answer)
        arrived()
      },
      lost: () => world.count('lost reply'),
    })
  }

  /** What is in flight is lost. */
  cut(): void {
    this.#open = false
  }

  #post(frame: Frame): void {
    if (!this.#open) return frame.lost()
    const { clock } = this.#world
    if (this.#batch?.turn === clock.events) {
      this.#batch.frames.push(frame)
      return
    }
    const frames = [frame]
    this.#batch = { turn: clock.events, frames }
    this.#lastAt = Math.max(this.#lastAt, clock.now + this.#latency())
    clock.schedule(this.#lastAt - clock.now, this.#receiver, () => {
      for (const { arrived, lost } of frames) {
        if (this.#open) arrived()
        else lost()
      }
    })
  }
}
