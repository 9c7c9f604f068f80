import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { measureCoreCost } from './core-cost.js'
import { compare } from './harness.js'
import { SUITES, type SuiteName } from './suites.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '3' }, output: { type: 'string' } },
})
const names = Object.keys(SUITES) as SuiteName[]
const unknown = positionals.find((name) => name !== 'all' && name !== 'core' && !names.includes(name as SuiteName))
const rounds = Number(values.rounds)
if (unknown !== undefined || !Number.isInteger(rounds) || rounds < 1) {
  console.error(`usage: main.js [--rounds N] [--output FILE] [all|core|${names.join('|')} …]`)
  process.exit(2)
}
const chosen = positionals.length === 0 || positionals.includes('all') ? ['core', ...names] : positionals
const report = [heading()]
if (chosen.includes('core')) report.push(`### Core\n\n${await measureCoreCost()}\n`)
for (const name of names.filter((one) => chosen.includes(one))) {
  const suite = await SUITES[name]()
  for (const comparison of suite.comparisons)
    report.push(await compare(comparison, rounds, (line) => console.error(line)))
  for (const tool of suite.tools ?? []) report.push(await tool())
}
const text = report.join('\n')
console.log(text)
if (values.output !== undefined) writeFileSync(values.output, `${text}\n`)

function heading(): string {
  const [cpu] = cpus()
  return [
    '# Benchmark results',
    '',
    `Written by \`pnpm benchmark\` on ${new Date().toISOString().slice(0, 10)}: Node.js ${process.version}, ${cpus().length} cores of ${cpu?.model.trim() ?? 'an unknown processor'}, ${process.platform}.`,
    'Client and broker share the machine. Payload 1 KiB, 1000 sends in flight, medians of interleaved rounds after one warm-up round.',
    '',
  ].join('\n')
}
