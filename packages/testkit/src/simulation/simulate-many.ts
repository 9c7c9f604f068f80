import type { SimulatedProtocol } from './protocol.js'
import { type SimulationResult, simulate } from './simulate.js'
import { addCounts } from './tally.js'

/** What came of many seeds. */
export interface SimulationSummary {
  readonly runs: number
  /** The first seed that broke a promise, with its history. */
  readonly failed: SimulationResult | undefined
  readonly events: number
  readonly virtualMs: number
  readonly cpuMs: number
  /** How often each kind of event happened, over all runs. */
  readonly happened: Readonly<Record<string, number>>
  /** How often each promise was judged, over all runs. */
  readonly judged: Readonly<Record<string, number>>
}

/** Runs `runs` seeds from `seed` on, up to the first that breaks a promise. */
export async function simulateMany(
  protocol: SimulatedProtocol,
  seed: number,
  runs: number,
): Promise<SimulationSummary> {
  const happened: Record<string, number> = {}
  const judged: Record<string, number> = {}
  const started = process.cpuUsage()
  let [done, events, virtualMs] = [0, 0, 0]
  let failed: SimulationResult | undefined
  while (done < runs && failed === undefined) {
    const result = await simulate(protocol, seed + done)
    done += 1
    events += result.events
    virtualMs += result.virtualMs
    addCounts(happened, result.happened)
    addCounts(judged, result.judged)
    if (result.violations.length > 0) failed = result
  }
  const { user, system } = process.cpuUsage(started)
  return { runs: done, failed, events, virtualMs, cpuMs: (user + system) / 1_000, happened, judged }
}

/** What happened, line by line, for a person. */
export function formatHistory({ seed, violations, history }: SimulationResult): string {
  const lines = history.map(({ at, actor, text }) => `${at.toFixed(1).padStart(10)}  ${actor.padEnd(12)} ${text}`)
  return [`seed ${seed}: ${violations.join('; ')}`, ...lines].join('\n')
}

/** The figures of a summary. */
export function formatSummary({ runs, failed, events, virtualMs, cpuMs, happened, judged }: SimulationSummary): string {
  const perSecond = Math.round((runs * 1_000) / Math.max(1, cpuMs))
  const list = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')
  const outcome = failed === undefined ? 'no promise broken' : `seed ${failed.seed} broke a promise`
  return [
    `${runs} runs, ${perSecond} per second of CPU, ${events} events, ${Math.round(virtualMs / 60_000)} minutes of virtual time; ${outcome}`,
    `  happened: ${list(happened)}`,
    `  judged: ${list(judged)}`,
  ].join('\n')
}
