import type { Comparison } from './case.js'
import { CaseProcess, messageOf } from './case-process.js'
import { median, spread } from './statistics.js'

/** One case over the rounds. */
interface Row {
  readonly name: string
  readonly rates: number[]
  readonly cpu: number[]
  problem: string | undefined
}

export interface Compared {
  /** A heading and a table in Markdown. */
  readonly text: string
  /** What could not be measured, and why. */
  readonly problems: readonly string[]
}

/** Runs all cases in turn, each in a process of its own, round by round, so that a slow moment of the machine hits all of them alike. The first round is warm-up. */
export async function compare(
  suite: string,
  index: number,
  comparison: Comparison,
  rounds: number,
  progress: (line: string) => void,
): Promise<Compared> {
  const rows = comparison.cases.map(({ name }): Row => ({ name, rates: [], cpu: [], problem: undefined }))
  const processes = comparison.cases.map((_case, number) => new CaseProcess(suite, index, number))
  try {
    for (let round = 0; round <= rounds; round += 1) {
      for (const [number, { name, messages }] of comparison.cases.entries()) {
        const row = rows[number] as Row
        if (row.problem !== undefined) continue
        const line = `${comparison.title}, round ${round} of ${rounds}: ${name}`
        try {
          const measured = await (processes[number] as CaseProcess).run(messages)
          progress(`${line}: ${Math.round(messages / measured.seconds)}/s`)
          if (round === 0) continue
          row.rates.push(messages / measured.seconds / 1_000)
          if (measured.cpuSeconds !== undefined) row.cpu.push((measured.cpuSeconds * 1_000_000) / messages)
        } catch (error) {
          row.problem = firstLine(messageOf(error))
          progress(`${line}: ${row.problem}`)
        }
      }
    }
  } finally {
    for (const one of processes) one.end()
  }
  return { text: table(comparison, rows), problems: problemsOf(comparison, rows) }
}

function table(comparison: Comparison, rows: readonly Row[]): string {
  const reference = rows.find(({ name }) => name === comparison.reference)
  const base = median(reference?.rates ?? [])
  return [
    `### ${comparison.title}`,
    '',
    comparison.about,
    '',
    '| case | thousand/s, median [min-max] | client CPU, µs per message | x reference |',
    '|---|---|---|---|',
    ...rows.map((row) => {
      const name = row === reference ? `**${row.name}**` : row.name
      if (row.problem !== undefined) return `| ${name} | not measured: ${row.problem} | | |`
      const cpu = row.cpu.length === 0 ? '' : median(row.cpu).toFixed(1)
      return `| ${name} | ${spread(row.rates, 1)} | ${cpu} | ${(median(row.rates) / base).toFixed(2)} |`
    }),
    '',
  ].join('\n')
}

function problemsOf({ title }: Comparison, rows: readonly Row[]): string[] {
  return rows.flatMap(({ name, problem }) => (problem === undefined ? [] : [`${title}, ${name}: ${problem}`]))
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').replaceAll('|', '/').slice(0, 200)
}
