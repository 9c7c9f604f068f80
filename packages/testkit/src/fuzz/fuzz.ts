import fc from 'fast-check'
import { Randomness } from '../faults/soak/randomness.js'
import { checkInput, findingOf } from './check-input.js'
import { findingPath } from './corpus.js'
import { CoverageGuide } from './coverage.js'
import { BufferMeter } from './meter.js'
import { minimise } from './minimise.js'
import { mutate } from './mutate.js'
import { DEFAULT_LIMITS, type Finding, type FuzzTarget } from './target.js'
import { Watchdog } from './watchdog.js'

/** Inputs between two looks at the coverage, which cost time: fewest where new code was just found, most where there was none for long. */
const BATCH = { least: 64, most: 1_024 } as const
/** Inputs that are made by the grammar at a time. */
const SAMPLED = 50
/** How long a failing input is made smaller, in milliseconds. */
const MINIMISE_MS = 20_000
/** Distinct findings after which a run ends. */
const MAX_FINDINGS = 10

export interface FuzzSettings {
  readonly seed: number
  /** The run ends after so many inputs. @default Infinity */
  readonly executions?: number
  /** The run ends after so many milliseconds. @default Infinity */
  readonly forMs?: number
  /** What mutations begin with. */
  readonly seeds: readonly Buffer[]
  /** The folder of the corpus. */
  readonly folder: string
  /** How long a failing input is made smaller, in milliseconds. @default 20000 */
  readonly minimiseMs?: number
  /** The run ends after so many distinct findings. @default 10 */
  readonly maxFindings?: number
}

interface FoundInput {
  readonly finding: Finding
  /** Made smaller. */
  readonly input: Buffer
}

export interface FuzzReport {
  readonly target: string
  readonly seed: number
  readonly executions: number
  readonly ms: number
  /** Inputs that were kept for further mutations, since they ran code that none before did. */
  readonly kept: number
  /** Functions that were called. */
  readonly functions: number
  readonly found: readonly FoundInput[]
}

/**
 * Decodes mutations of seeds and inputs by the grammar until time or number is over, or ten distinct findings are there. Inputs that run new code are mutated
 * further. The same seed gives the same inputs, as far as decoding takes the same way.
 */
export async function fuzz(target: FuzzTarget, settings: FuzzSettings): Promise<FuzzReport> {
  const run = new Run(target, settings)
  try {
    return await run.report()
  } finally {
    await run.stop()
  }
}

class Run {
  readonly #target: FuzzTarget
  readonly #settings: FuzzSettings
  readonly #randomness: Randomness
  readonly #maxBytes: number
  readonly #dictionary: readonly Buffer[]
  readonly #pool: Buffer[]
  readonly #meter = new BufferMeter()
  readonly #guide = new CoverageGuide(
    (url) => /\/packages\/[^/]+\/(?:src|dist)\//.test(url) && !url.includes('/testkit/'),
  )
  readonly #watchdog: Watchdog
  readonly #found = new Map<string, FoundInput>()
  readonly #rejected = (error: unknown): void => void this.#rejections.push(error)
  #rejections: unknown[] = []
  #sampled: Buffer[] = []
  #executions = 0
  #until = Number.POSITIVE_INFINITY
  #batchSize: number = BATCH.least

  constructor(target: FuzzTarget, settings: FuzzSettings) {
    this.#target = target
    this.#settings = settings
    this.#randomness = new Randomness(settings.seed)
    this.#maxBytes = target.limits?.maxInputBytes ?? DEFAULT_LIMITS.maxInputBytes
    this.#dictionary = (target.dictionary ?? []).map((token) => Buffer.from(token as string))
    this.#pool = settings.seeds.filter(({ length }) => length <= this.#maxBytes)
    this.#watchdog = new Watchdog(
      findingPath(settings.folder, target.name, 'hang', Buffer.from(String(settings.seed))),
      this.#maxBytes,
    )
    this.#meter.start()
    process.on('unhandledRejection', this.#rejected)
  }

  async stop(): Promise<void> {
    process.off('unhandledRejection', this.#rejected)
    this.#meter.stop()
    this.#guide.stop()
    await this.#watchdog.stop()
  }

  async report(): Promise<FuzzReport> {
    const { seed, executions = Infinity, forMs = Infinity } = this.#settings
    const seeds = this.#pool.length
    const began = performance.now()
    this.#until = began + forMs
    for (const input of this.#pool.slice()) await this.#try(input)
    this.#guide.add()
    while (this.#executions < executions && !this.#isOver) await this.#batch()
    return {
      target: this.#target.name,
      seed,
      executions: this.#executions,
      ms: performance.now() - began,
      kept: this.#pool.length - seeds,
      functions: this.#guide.functions,
      found: [...this.#found.values()],
    }
  }

  /** Also within a batch: one of slow inputs, and finding out which of them ran new code, may take minutes. */
  get #isOver(): boolean {
    return performance.now() >= this.#until || this.#found.size >= (this.#settings.maxFindings ?? MAX_FINDINGS)
  }

  async #batch(): Promise<void> {
    const inputs = Array.from({ length: this.#batchSize }, () => this.#next())
    for (const input of inputs) {
      await this.#try(input)
      if (this.#isOver) return this.#attributeRejections(inputs)
    }
    await this.#attributeRejections(inputs)
    const before = this.#guide.state
    if (!this.#guide.add()) {
      this.#batchSize = Math.min(BATCH.most, 2 * this.#batchSize)
      return
    }
    this.#batchSize = BATCH.least
    const check = async (input: Buffer): Promise<void> => void (await this.#check(input))
    const { fresh } = await this.#guide.attribute(inputs, before, check, () => this.#isOver)
    this.#pool.push(...fresh)
  }

  #next(): Buffer {
    const { randomness } = this.#settingsOfMutation
    const isGrown = this.#target.inputs !== undefined && (this.#pool.length === 0 || randomness.chance(30))
    const base = isGrown ? this.#sample() : this.#pick()
    const input = isGrown && randomness.chance(30) ? base : mutate(base, this.#settingsOfMutation)
    const repaired = this.#target.repair !== undefined && randomness.chance(50) ? this.#target.repair(input) : input
    return repaired.subarray(0, this.#maxBytes)
  }

  /** The smaller of two: long inputs take the time of many, and say little more. */
  #pick(): Buffer {
    if (this.#pool.length === 0) return Buffer.alloc(0)
    const [first, second] = [this.#randomness.pick(this.#pool), this.#randomness.pick(this.#pool)]
    return first.length <= second.length ? first : second
  }

  get #settingsOfMutation() {
    return {
      randomness: this.#randomness,
      dictionary: this.#dictionary,
      pool: this.#pool,
      maxBytes: this.#maxBytes,
    }
  }

  #sample(): Buffer {
    if (this.#sampled.length === 0 && this.#target.inputs !== undefined)
      this.#sampled = fc
        .sample(this.#target.inputs, { seed: this.#randomness.between(0, 0x7fff_ffff), numRuns: SAMPLED })
        .map((bytes) => Buffer.from(bytes))
    return this.#sampled.pop() ?? Buffer.alloc(0)
  }

  async #check(input: Buffer): Promise<Finding | undefined> {
    this.#watchdog.begin(input)
    try {
      return await checkInput(this.#target, input, this.#meter)
    } finally {
      this.#watchdog.end()
    }
  }

  async #try(input: Buffer): Promise<void> {
    this.#executions += 1
    const finding = await this.#check(input)
    if (finding === undefined || this.#found.has(finding.signature)) return
    const fails = async (candidate: Buffer): Promise<boolean> =>
      (await this.#check(candidate))?.signature === finding.signature
    const smallest = await minimise(input, fails, performance.now() + (this.#settings.minimiseMs ?? MINIMISE_MS))
    this.#found.set(finding.signature, { finding: (await this.#check(smallest)) ?? finding, input: smallest })
  }

  /** Finds out which of the inputs caused promises to be rejected without a handler, if any were. */
  async #attributeRejections(inputs: readonly Buffer[]): Promise<void> {
    // Such a rejection is known a turn later.
    await new Promise((resolve) => setImmediate(resolve))
    if (this.#rejections.length === 0) return
    this.#rejections = []
    for (const input of inputs) {
      await this.#check(input)
      await new Promise((resolve) => setImmediate(resolve))
      const [error] = this.#rejections
      this.#rejections = []
      if (error === undefined) continue
      const finding = findingOf('rejection', error)
      if (!this.#found.has(finding.signature)) this.#found.set(finding.signature, { finding, input })
    }
  }
}

/** One line: what was tried, and how it ended. */
export function formatReport({ target, seed, executions, ms, kept, functions, found }: FuzzReport): string {
  const seconds = ms / 1_000
  return `${target}: ${executions} inputs in ${seconds.toFixed(0)} s (${Math.round(executions / seconds)} per second), ${functions} functions, ${kept} inputs kept, ${found.length} findings (seed ${seed})`
}
