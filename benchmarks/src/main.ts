import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { machine } from './machine.js'
import { compare } from './measuring/compare.js'
import { SUITES, type SuiteName } from './suites.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '3' }, output: { type: 'string' } },
})
const names = Object.keys(SUITES) as SuiteName[]
const unknown = positionals.find((name) => name !== 'all' && !names.includes(name as SuiteName))
const rounds = Number(values.rounds)
if (unknown !== undefined || !Number.isInteger(rounds) || rounds < 1) {
  console.error(`usage: main.js [--rounds N] [--output FILE] [all|${names.join('|')} …]`)
  process.exit(2)
}
const chosen = positionals.length === 0 || positionals.includes('all') ? names : positionals
const started = performance.now()
const report: string[] = []
const problems: string[] = []
for (const name of names.filter((one) => chosen.includes(one))) {
  for (const [index, comparison] of (await SUITES[name]()).entries()) {
    const compared = await compare(name, index, comparison, rounds, (line) => console.error(line))
    report.push(compared.text)
    problems.push(...compared.problems)
  }
}
const text = [await heading(), ...report].join('\n')
console.log(text)
if (values.output !== undefined) writeFileSync(values.output, text)
for (const problem of problems) console.error(`not measured: ${problem}`)
process.exit()

async function heading(): Promise<string> {
  const minutes = ((performance.now() - started) / 60_000).toFixed(1)
  return [
    '# Benchmark results',
    '',
    ...(await machine()),
    '',
    `Payload 1 KiB, 1000 sends in flight, medians of ${rounds} interleaved rounds after a warm-up round, each case in a process of its own; ${minutes} minutes in all. [README.md](README.md) says what is compared and how to read it. The reference of a table, in bold, is the client library's best loop by hand.`,
    '',
  ].join('\n')
}
