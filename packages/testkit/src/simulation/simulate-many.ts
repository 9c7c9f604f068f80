import type { SimulatedProtocol } from './protocol.js'
import { type SimulationResult, simulate } from './simulate.js'

/** What came of many seeds. */
export interface SimulationSummary {
  readonly runs: number
  /** The first seed that broke a promise, with its history. */
  readonly failed: SimulationResult | undefined
  readonly events: number
  readonly virtualMs: number
  readonly cpuMs: number
  readonly faults: Readonly<Record<string, number>>
}

/** Runs `runs` seeds from `seed` on, up to the first that breaks a promise. */
export async function simulateMany(
  protocol: SimulatedProtocol,
  seed: number,
  runs: number,
): Promise<SimulationSummary> {
  const faults: Record<string, number> = {}
  const started = process.cpuUsage()
  let [done, events, virtualMs] = [0, 0, 0]
  let failed: SimulationResult | undefined
  while (done < runs && failed === undefined) {
    const result = await simulate(protocol, seed + done)
    done += 1
    events += result.events
    virtualMs += result.virtualMs
    for (const [name, count] of Object.entries(result.faults)) faults[name] = (faults[name] ?? 0) + count
    if (result.violations.length > 0) failed = result
  }
  const { user, system } = process.cpuUsage(started)
  return { runs: done, failed, events, virtualMs, cpuMs: (user + system) / 1_000, faults }
}

/** What happened, line by line, for a person. */
export function formatHistory({ seed, violations, history }: SimulationResult): string {
  const lines = history.map(({ at, actor, text }) => `${at.toFixed(1).padStart(10)}  ${actor.padEnd(12)} ${text}`)
  return [`seed ${seed}: ${violations.join('; ')}`, ...lines].join('\n')
}

/** The figures of a summary, in one line. */
export function formatSummary({ runs, failed, events, virtualMs, cpuMs, faults }: SimulationSummary): string {
  const perSecond = Math.round((runs * 1_000) / Math.max(1, cpuMs))
  const done = Object.entries(faults)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')
  return `${runs} runs, ${perSecond} per second of CPU, ${events} events, ${Math.round(virtualMs / 60_000)} minutes of virtual time; ${done}; ${failed === undefined ? 'no promise broken' : `seed ${failed.seed} broke a promise`}`
}
