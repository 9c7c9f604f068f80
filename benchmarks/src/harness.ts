import { median, type Round, spread } from './statistics.js'

/** One thing to measure: moves `messages` messages and returns the seconds that it took, preparation excluded. */
export interface Case {
  readonly name: string
  readonly messages: number
  run(messages: number): Promise<number>
}

/** Cases that are compared with each other; the ratio column refers to the one named `reference`. */
export interface Comparison {
  readonly title: string
  readonly reference: string
  readonly cases: readonly Case[]
}

/** Runs all cases in turn, round by round, so that a slow moment of the machine hits all of them alike. The first round is warm-up. */
export async function compare(
  comparison: Comparison,
  rounds: number,
  progress: (line: string) => void,
): Promise<string> {
  const results = new Map<string, Round>()
  for (let round = 0; round <= rounds; round += 1) {
    for (const { name, messages, run } of comparison.cases) {
      const seconds = await run(round === 0 ? Math.ceil(messages / 5) : messages)
      progress(`${comparison.title}, round ${round} of ${rounds}: ${name} ${Math.round(messages / seconds)}/s`)
      if (round === 0) continue
      const figures = results.get(name) ?? []
      figures.push(messages / seconds / 1000)
      results.set(name, figures)
    }
  }
  const reference = median(results.get(comparison.reference) ?? [])
  const rows = [...results].map(
    ([name, figures]) => `| ${name} | ${spread(figures, 1)} | ${(median(figures) / reference).toFixed(2)} |`,
  )
  return [
    `### ${comparison.title}`,
    '',
    `| case | thousand/s, median [min-max] | x ${comparison.reference} |`,
    '|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

/** Runs `task` for the numbers from 0 to `count - 1`, at most `concurrency` at once. */
export async function concurrently(
  count: number,
  concurrency: number,
  task: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next
      next += 1
      await task(index)
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, worker))
}

/** Seconds that `body` takes. */
export async function timed(body: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await body()
  return (performance.now() - start) / 1000
}

/** A name for a topic, stream or queue that nothing else uses. */
export function freshName(): string {
  return `bench-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`
}

/** What every case sends: 1 KiB. */
export const PAYLOAD = Buffer.alloc(1024, 0x61)

/** Sends in flight. */
export const IN_FLIGHT = 1_000
