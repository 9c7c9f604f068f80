import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CAPABILITY_NAMES, type CapabilityValue, OFFICIAL_ADAPTERS } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'

const README = join(import.meta.dirname, '..', '..', '..', 'README.md')

/** The rows of the capability table: name and cells, without backticks. */
function tableRows(): string[][] {
  const lines = readFileSync(README, 'utf8').split('\n')
  const start = lines.findIndex((line) => line.startsWith('| capability |'))
  const end = lines.findIndex((line, index) => index > start && !line.startsWith('|'))
  const cells = (line: string): string[] =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', ''))
  return lines
    .slice(start, end)
    .filter((line) => !line.startsWith('|---'))
    .map(cells)
}

/** A cell says yes, no, or the condition; what stands in brackets behind a condition may be left out. */
function cellFor(value: CapabilityValue): string {
  if (typeof value === 'string') return value.replace(/ \(.*\)$/, '')
  return value ? 'yes' : 'no'
}

describe('the table of capabilities in the README', () => {
  const [header = [], ...rows] = tableRows()

  it('has every capability and every transport', () => {
    expect(rows.map(([name]) => name)).toEqual(CAPABILITY_NAMES)
    // `amqp, existing queue`: what an adapter has for what it didn't create itself.
    const adapters = header.slice(1).filter((name) => !name.includes(','))
    expect(adapters.toSorted()).toEqual(OFFICIAL_ADAPTERS.map(({ name }) => name).toSorted())
  })

  it.each(OFFICIAL_ADAPTERS)('says of $name what its adapter declares', ({ name, capabilities }) => {
    const column = header.indexOf(name)
    const said = Object.fromEntries(rows.map((cells) => [cells[0], cells[column]]))
    const declared = Object.fromEntries(
      CAPABILITY_NAMES.map((capability) => [capability, cellFor(capabilities[capability])]),
    )
    expect(said).toEqual(declared)
  })
})
