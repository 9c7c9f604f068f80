import { type Profiler, Session } from 'node:inspector'

type Interval = readonly [from: number, to: number]

/**
 * Says which inputs run code that none before them did, by the block coverage of the engine. Code counts where its URL matches.
 * Source: https://chromedevtools.github.io/devtools-protocol/v8/Profiler/#method-takePreciseCoverage
 */
export class CoverageGuide {
  readonly #session = new Session()
  readonly #isCode: (url: string) => boolean
  /** Of each function that was called, what never ran. */
  #missing = new Map<string, readonly Interval[]>()

  constructor(isCode: (url: string) => boolean) {
    this.#isCode = isCode
    this.#session.connect()
    this.#session.post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  /** Functions that have been called. */
  get functions(): number {
    return this.#missing.size
  }

  stop(): void {
    this.#session.post('Profiler.stopPreciseCoverage')
    this.#session.disconnect()
  }

  /** What ran since the last call. True where some of it had never run. */
  add(): boolean {
    const { missing, isNew } = this.#merged(this.#missing)
    this.#missing = missing
    return isNew
  }

  /**
   * Of some inputs, those that add to what had run before the last {@link add}. Runs them again, halves of them together where they add nothing. None more
   * once `isOver`.
   */
  async attribute<Input>(
    inputs: readonly Input[],
    before: CoverageState,
    run: (input: Input) => Promise<void>,
    isOver: () => boolean = () => false,
  ): Promise<{ readonly fresh: Input[]; readonly state: CoverageState }> {
    for (const input of inputs) {
      if (isOver()) return { fresh: [], state: before }
      await run(input)
    }
    const { missing, isNew } = this.#merged(before.missing)
    const after = { missing }
    if (!isNew || inputs.length <= 1) return { fresh: isNew ? [...inputs] : [], state: after }
    const middle = inputs.length >> 1
    const first = await this.attribute(inputs.slice(0, middle), before, run, isOver)
    const second = await this.attribute(inputs.slice(middle), first.state, run, isOver)
    return { fresh: [...first.fresh, ...second.fresh], state: after }
  }

  get state(): CoverageState {
    return { missing: this.#missing }
  }

  #merged(known: ReadonlyMap<string, readonly Interval[]>): {
    missing: Map<string, readonly Interval[]>
    isNew: boolean
  } {
    const missing = new Map(known)
    let isNew = false
    for (const { url, functions } of this.#take()) {
      for (const { ranges } of functions) {
        const [whole, ...blocks] = ranges
        if (whole === undefined || whole.count === 0) continue
        const key = `${url}:${whole.startOffset}:${whole.endOffset}`
        const idle = blocks
          .filter(({ count }) => count === 0)
          .map(({ startOffset, endOffset }): Interval => [startOffset, endOffset])
        const earlier = missing.get(key)
        const left = earlier === undefined ? idle : intersection(earlier, idle)
        if (earlier !== undefined && lengthOf(left) === lengthOf(earlier)) continue
        missing.set(key, left)
        isNew = true
      }
    }
    return { missing, isNew }
  }

  #take(): readonly Profiler.ScriptCoverage[] {
    let scripts: readonly Profiler.ScriptCoverage[] = []
    this.#session.post('Profiler.takePreciseCoverage', (_error, { result } = { result: [] }) => {
      scripts = result.filter(({ url }) => this.#isCode(url))
    })
    return scripts
  }
}

/** What a guide knew at some time. */
export interface CoverageState {
  readonly missing: ReadonlyMap<string, readonly Interval[]>
}

function intersection(left: readonly Interval[], right: readonly Interval[]): Interval[] {
  return left.flatMap(([from, to]) =>
    right
      .map(([otherFrom, otherTo]): Interval => [Math.max(from, otherFrom), Math.min(to, otherTo)])
      .filter(([start, end]) => start < end),
  )
}

function lengthOf(intervals: readonly Interval[]): number {
  return intervals.reduce((sum, [from, to]) => sum + to - from, 0)
}
