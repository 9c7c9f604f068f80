/** Maximum time, in milliseconds, that the work of large requests takes together before others get a turn. */
const SLICE_MS = 10
/**
 * Maximum number of steps of one request before it is another's turn. What a step starts may cost more than the step.
 */
const SLICE_STEPS = 1_000

interface Work {
  readonly steps: Iterator<unknown>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** Work that goes on in later turns of the event loop, of all requests of the process. */
const waiting: Work[] = []

/**
 * Runs the steps of a generator, with a turn of the event loop between slices of them. `undefined`: all were done at once, as for any
 * request of ordinary size. Throws, or rejects, with what a step throws.
 */
export function inSlices(steps: Iterator<unknown>): Promise<void> | undefined {
  if (waiting.length === 0 && runSlice(steps, performance.now() + SLICE_MS)) return undefined
  return new Promise((resolve, reject) => {
    waiting.push({ steps, resolve, reject })
    if (waiting.length === 1) setImmediate(runWaiting)
  })
}

function runWaiting(): void {
  const end = performance.now() + SLICE_MS
  while (performance.now() < end) {
    const work = waiting.shift()
    if (work === undefined) return
    try {
      if (runSlice(work.steps, end)) work.resolve()
      else waiting.push(work)
    } catch (error) {
      work.reject(error)
    }
  }
  if (waiting.length > 0) setImmediate(runWaiting)
}

/** True when there are no more steps. */
function runSlice(steps: Iterator<unknown>, end: number): boolean {
  for (let step = 0; step < SLICE_STEPS; step += 1) {
    if (steps.next().done === true) return true
    if (performance.now() >= end) return false
  }
  return false
}
