import { code, prose, table, undocumented } from './markdown.mjs'
import { findMeanings } from './option-meanings.mjs'

/** @import { Meaning } from './option-meanings.mjs' */
/** @import { Sources } from './sources.mjs' */

/**
 * @typedef {object} Field What the documentation shows of an option; see `OptionField` in core.
 * @property {string} kind
 * @property {unknown} [defaultValue]
 * @property {string | undefined} [environment]
 * @property {boolean} [secret]
 * @property {Readonly<Record<string, Field>>} [fields] Those of a group.
 */

/**
 * @typedef {object} OptionSet
 * @property {Readonly<Record<string, Field>>} fields The real ones, from the built package.
 * @property {string} path The source file that declares them.
 */

/**
 * A set of options as a table, options within a group below it by their paths.
 *
 * @param {Sources} sources
 * @param {OptionSet} set
 * @param {string[]} problems Gets a line for each option that isn't documented.
 */
export function optionTable(sources, { fields, path }, problems) {
  const rows = rowsOf(fields, findMeanings(sources, path, Object.keys(fields)), { prefix: '', path, problems })
  return table(['option', 'type', 'default', 'environment', 'meaning'], rows)
}

/**
 * @param {Readonly<Record<string, Field>>} fields
 * @param {Map<string, Meaning>} meanings
 * @param {{ prefix: string, path: string, problems: string[] }} context
 * @returns {string[][]}
 */
function rowsOf(fields, meanings, { prefix, path, problems }) {
  return Object.entries(fields).flatMap(([name, field]) => {
    const meaning = meanings.get(name)
    if (meaning === undefined)
      problems.push(`${path}: doesn't declare the option '${prefix}${name}': rebuild its package`)
    else if (meaning.text === undefined) problems.push(undocumented(meaning.place, `option '${prefix}${name}'`))
    const row = [
      code(`${prefix}${name}`),
      typeOf(name, field),
      field.secret ? '' : formatDefault(name, field.defaultValue),
      field.environment === undefined ? '' : code(field.environment),
      prose(meaning?.text ?? ''),
    ]
    const context = { prefix: `${prefix}${name}.`, path, problems }
    return [row, ...rowsOf(field.fields ?? {}, meaning?.fields ?? new Map(), context)]
  })
}

/**
 * @param {string} name
 * @param {Field} field
 */
function typeOf(name, { kind, secret }) {
  const isChoice = /^'[^']*'(, '[^']*')*$/.test(kind)
  const known = name.endsWith('Ms') ? kind.replace(/^(?:integer|number)/, 'Duration (ms)') : kind
  const type = isChoice ? kind.replace(/'([^']*)'/g, (_, choice) => code(choice)) : prose(known)
  return secret ? `secret: ${type}` : type
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function formatDefault(name, value) {
  if (value === undefined) return ''
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'number') return `${code(String(value))}${inLargerUnit(name, value)}`
  if (typeof value === 'string') return code(value === '' ? "''" : value)
  return code(typeof value === 'bigint' ? String(value) : JSON.stringify(value))
}

const UNITS = [
  {
    suffix: 'Bytes',
    units: /** @type {const} */ ([
      [1024 ** 3, 'GiB'],
      [1024 ** 2, 'MiB'],
      [1024, 'KiB'],
    ]),
  },
  {
    suffix: 'Ms',
    units: /** @type {const} */ ([
      [86_400_000, 'd'],
      [3_600_000, 'h'],
      [60_000, 'min'],
      [1_000, 's'],
    ]),
  },
]

/**
 * ` (64 MiB)` for a number of bytes, ` (1 min)` for one of milliseconds, by the option's name; empty where it is no whole number of a larger unit.
 *
 * @param {string} name
 * @param {number} value
 */
export function inLargerUnit(name, value) {
  const units = UNITS.find(({ suffix }) => name.endsWith(suffix))?.units ?? []
  const unit = value === 0 ? undefined : units.find(([size]) => value % size === 0)
  return unit === undefined ? '' : ` (${value / unit[0]} ${unit[1]})`
}
