import { Randomness } from '../faults/soak/randomness.js'
import { Ledger } from './ledger.js'
import { SimulatedMember } from './member.js'
import type { ProtocolRun, SimulatedProtocol } from './protocol.js'
import { type HistoryEntry, SimulatedProcess, SLOW_CALL_MS, World } from './world.js'

const MAX_MEMBERS = 4
/** How long faults last, and what follows. */
const FAULTS_MS = { from: 6_000, to: 22_000 }
/** Within this time after the last fault every partition must have an owner, and everything must be done. */
const REST_MS = 120_000
const REST_POLL_MS = 250
/** So long all must stay as it is then. */
const CALM_MS = 2 * SLOW_CALL_MS + 1_000
/** A member whose handlers hang as long as a revocation may take. */
const HANGING_MS = 12_000

/** What came of one seed. */
export interface SimulationResult {
  readonly seed: number
  /** Empty: every promise held. */
  readonly violations: readonly string[]
  readonly history: readonly HistoryEntry[]
  /** How many events happened in how many milliseconds of virtual time. */
  readonly events: number
  readonly virtualMs: number
  /** How often each kind of event happened. */
  readonly happened: Readonly<Record<string, number>>
  /** How often each promise was judged. */
  readonly judged: Readonly<Record<string, number>>
}

type Fault = (run: Simulation) => void

const FAULTS: readonly (readonly [weight: number, fault: Fault])[] = [
  [30, (run) => run.produce()],
  [12, (run) => run.join(1)],
  [3, (run) => run.join(2)],
  [6, (run) => run.leave()],
  [6, (run) => run.kill(1)],
  [5, (run) => run.kill(2)],
  [7, (run) => run.freeze()],
  [10, (run) => run.slow()],
  [8, (run) => run.cut()],
  [1, (run) => run.restart()],
]
/** Where groups can be moved. */
const MOVES: typeof FAULTS = [[4, (run) => run.seek()]]

/** One random run of a protocol. The same seed gives the same run. */
export async function simulate(protocol: SimulatedProtocol, seed: number): Promise<SimulationResult> {
  const random = new Randomness(seed)
  const world = new World(random)
  const { random: originalRandom } = Math
  const restore = world.clock.install()
  Math.random = () => random.next()
  try {
    return await new Simulation(protocol, world).run(seed)
  } finally {
    Math.random = originalRandom
    restore()
  }
}

class Simulation {
  readonly #world: World
  readonly #run: ProtocolRun
  readonly #ledger: Ledger
  readonly #members = new Set<SimulatedMember>()
  readonly #leavers = new Set<SimulatedMember>()
  readonly #faults: typeof FAULTS
  readonly #weights: number
  #started = 0

  constructor(protocol: SimulatedProtocol, world: World) {
    this.#world = world
    let ledger: Ledger | undefined
    this.#run = protocol.start(world, (truth, partitions) => {
      ledger = new Ledger(world, partitions, truth)
      return ledger
    })
    if (ledger === undefined) throw new Error(`the protocol ${protocol.name} keeps no ledger`)
    this.#ledger = ledger
    this.#faults = this.#run.target === undefined ? FAULTS : [...FAULTS, ...MOVES]
    this.#weights = this.#faults.reduce((sum, [weight]) => sum + weight, 0)
  }

  async run(seed: number): Promise<SimulationResult> {
    const { clock, random, violations, history, tally } = this.#world
    const broken = (): boolean => violations.length > 0
    this.join(random.between(1, 3))
    const end = random.between(FAULTS_MS.from, FAULTS_MS.to)
    while (clock.now < end && !broken()) {
      await clock.run(Math.min(end, clock.now + this.#pause()), broken)
      if (!broken()) this.#fault()
    }
    if (!broken()) await this.#rest(broken)
    const { happened, judged } = tally
    return { seed, violations, history, events: clock.events, virtualMs: clock.now, happened, judged }
  }

  /** Short pauses let faults fall into the steps of another's consequences. */
  #pause(): number {
    const { random } = this.#world
    return random.chance(50) ? random.between(0, 30) : random.between(30, 2_500)
  }

  #fault(): void {
    let drawn = this.#world.random.between(1, this.#weights)
    for (const [weight, fault] of this.#faults) {
      drawn -= weight
      if (drawn <= 0) return fault(this)
    }
  }

  /** Everything is well again: partitions find owners, and all is handled and committed. */
  async #rest(broken: () => boolean): Promise<void> {
    const { clock } = this.#world
    this.#world.log('simulation', 'no more faults')
    this.#world.faulty = false
    for (const { process } of this.#members) {
      if (process.frozen) this.#thaw(process)
      process.slowUntil = 0
    }
    if (this.#remaining === 0) this.join(1)
    for (let partition = 0; partition < this.#run.partitions; partition += 1) this.#run.produce(partition)
    const deadline = clock.now + REST_MS
    let missed = 'nothing'
    let calmSince: number | undefined
    // For a while: calls of before that are still slow may disturb it once more, and what they store too late must not stay.
    while (!broken() && (calmSince === undefined || clock.now - calmSince < CALM_MS)) {
      await clock.run(clock.now + REST_POLL_MS, broken)
      this.#world.judge('at rest in time')
      const missing = this.#run.aftermath?.() ?? this.#ledger.unrest((partition) => this.#run.position(partition))
      missed = missing ?? missed
      calmSince = missing === undefined ? (calmSince ?? clock.now) : undefined
      if (clock.now >= deadline && (calmSince ?? deadline) >= deadline)
        this.#world.violate(`${missed} within ${REST_MS} ms`)
    }
    const leftover = this.#run.leftover()
    if (leftover !== undefined && !broken()) this.#world.violate(leftover)
  }

  join(count: number): void {
    const { random, clock } = this.#world
    for (let index = 0; index < count && this.#members.size < MAX_MEMBERS; index += 1) {
      this.#started += 1
      const process = new SimulatedProcess(`member ${this.#started}`, random.chance(30) ? random.between(0, 60_000) : 0)
      this.#world.processes.push(process)
      const hangs = random.chance(20)
      const member = new SimulatedMember({
        world: this.#world,
        ledger: this.#ledger,
        process,
        driver: (sink) => this.#run.driver(process, sink),
        offsetOf: this.#run.offsetOf,
        handlerMs: () => (hangs && this.#world.faulty && random.chance(5) ? HANGING_MS : random.between(1, 60)),
        fails: () => this.#world.faulty && random.chance(5),
      })
      this.#members.add(member)
      this.#world.log(process.name, 'starts')
      this.#world.count('join')
      clock.schedule(0, process, () => member.start())
    }
  }

  produce(): void {
    const { random } = this.#world
    const partition = random.between(0, this.#run.partitions - 1)
    for (let count = random.between(1, 8); count > 0; count -= 1) this.#run.produce(partition)
  }

  leave(): void {
    const member = this.#any()
    if (member === undefined || this.#leavers.has(member) || this.#remaining < 2) return
    this.#leavers.add(member)
    this.#world.log(member.process.name, 'leaves')
    this.#world.count('leave')
    this.#world.clock.schedule(0, member.process, () => {
      member.willLeave()
      void member.leave().then(() => this.#end(member))
    })
  }

  kill(count: number): void {
    for (let index = 0; index < count; index += 1) {
      const member = this.#any()
      if (member !== undefined) this.#end(member)
    }
  }

  freeze(): void {
    const member = this.#any()
    if (member === undefined || member.process.frozen) return
    const { random, clock, outside } = this.#world
    const { process } = member
    const ms = random.chance(70) ? random.between(10, 3_000) : random.between(3_000, 25_000)
    this.#world.log(process.name, `freezes for ${ms} ms`)
    this.#world.count('freeze')
    process.freeze()
    process.calmSince = Number.POSITIVE_INFINITY
    this.#run.froze(process)
    clock.schedule(ms, outside, () => {
      if (process.frozen && !process.dead) this.#thaw(process)
    })
  }

  slow(): void {
    const member = this.#any()
    if (member === undefined) return
    this.#world.slowDown(member.process, this.#world.random.between(100, 9_000))
  }

  cut(): void {
    const member = this.#any()
    if (member === undefined) return
    this.#run.cut(member.process)
  }

  seek(): void {
    const member = this.#any()
    if (member === undefined) return
    this.#world.clock.schedule(0, member.process, () => void member.seek((partition) => this.#run.target?.(partition)))
  }

  restart(): void {
    const { random } = this.#world
    this.#world.count('broker restart')
    this.#run.restart(random.between(100, 4_000))
  }

  #thaw(process: SimulatedProcess): void {
    this.#world.log(process.name, 'thaws')
    process.calmSince = Math.max(this.#world.now, process.slowUntil + SLOW_CALL_MS)
    this.#world.clock.thaw(process)
  }

  /** Members that haven't been asked to leave. */
  get #remaining(): number {
    return [...this.#members].filter((member) => !this.#leavers.has(member)).length
  }

  #any(): SimulatedMember | undefined {
    const members = [...this.#members]
    return members.length === 0 ? undefined : this.#world.random.pick(members)
  }

  #end(member: SimulatedMember): void {
    const { process } = member
    this.#world.log(process.name, member.left ? 'has left' : 'is killed')
    if (!member.left) this.#world.count('kill')
    process.dead = true
    this.#members.delete(member)
    this.#ledger.died(process)
    this.#run.kill(process)
  }
}
