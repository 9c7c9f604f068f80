import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { casesPattern } from './newest-brokers-cases.mjs'
import { readPageSection, writePageSection } from './page-section.mjs'
import { run, ScriptFailure } from './run.mjs'
import { build } from './turbo.mjs'
import { ROOT } from './workspace.mjs'

const USAGE =
  'usage: test:brokers-matrix [--brokers rabbitmq@4.3,redis@7] [--transports redis,amqp] [--subset] [--output]'
const PAGE = 'docs/broker-versions.md'
const SUITE = 'test/conformance.test.ts'

/** The oldest and the newest version of each broker that the adapters are tested against. */
export const VERSIONS = [
  'redis@7',
  'redis@8',
  'valkey@8',
  'valkey@9',
  'rabbitmq@4.0',
  'rabbitmq@4',
  'kafka@3.9',
  'kafka@4.3',
  'kafka@4.4',
]

/** How many titles are named for each kind of failure. */
const TITLES_SHOWN = 4

/**
 * Which packages a broker is tested by.
 *
 * @type {Readonly<Record<string, readonly string[]>>}
 */
export const PACKAGES = {
  redis: ['packages/redis'],
  valkey: ['packages/redis'],
  rabbitmq: ['packages/amqp', 'packages/rabbitmq-stream'],
  kafka: ['packages/kafka'],
}

/**
 * The URLs of a broker by the variables that the suites read.
 *
 * @type {Readonly<Record<string, string>>}
 */
const VARIABLES = {
  redis: 'STREAMSWITCH_TEST_REDIS_URL',
  amqp: 'STREAMSWITCH_TEST_AMQP_URL',
  'rabbitmq-stream': 'STREAMSWITCH_TEST_RABBITMQ_STREAM_URL',
  management: 'STREAMSWITCH_TEST_RABBITMQ_MANAGEMENT_URL',
  kafka: 'STREAMSWITCH_TEST_KAFKA_URL',
}

/**
 * What one suite found on one version.
 *
 * @typedef {object} MatrixRow
 * @property {string} broker
 * @property {string} version As the broker itself is called, such as 4.3.6.
 * @property {string} transport
 * @property {number} cases
 * @property {number} passed
 * @property {number} skipped
 * @property {number} seconds
 * @property {readonly Failure[]} failures
 */

/** @typedef {{ readonly title: string, readonly reason: string }} Failure */

/**
 * A broker as the launcher starts it.
 *
 * @typedef {object} Broker
 * @property {string} name
 * @property {string} version
 * @property {Readonly<Record<string, string>>} urls
 * @property {() => Promise<void>} remove
 */

/**
 * What a broker is started with, besides its version.
 *
 * @typedef {object} BrokerSettings
 * @property {number} [port]
 * @property {Readonly<Record<string, number>>} [ports]
 * @property {readonly string[]} [config]
 */

/**
 * @typedef {object} MatrixOptions
 * @property {readonly string[]} brokers `name@version`.
 * @property {readonly string[]} transports Folders of packages by their last part; empty: all.
 * @property {boolean} subset Only the cases of `newest-brokers-cases.mjs`.
 * @property {boolean} output Write the table into `docs/broker-versions.md`.
 */

/**
 * Runs the conformance suites on several versions of their brokers, one after the other, and prints a table; with `--output` it also
 * goes into `docs/broker-versions.md`, where rows of other versions stay. Rejects when a case failed, or when an adapter has not the
 * same number of cases on each version.
 *
 * @param {string[]} args
 */
export async function runBrokersMatrix(args) {
  const options = matrixOptions(args)
  await build({ packages: ['./packages/*'], quiet: true })
  const rows = await runMatrix(options)
  const problems = [...rows.flatMap(({ failures }) => failures), ...unequalCounts(rows)]
  process.stdout.write(`\n${matrixTable(rows)}\n\n${failureList(rows)}\n`)
  for (const problem of unequalCounts(rows)) process.stdout.write(`${problem}\n`)
  if (options.output) writeMatrix(rows, new Date())
  if (problems.length > 0) throw new ScriptFailure('')
}

/**
 * @param {string[]} args
 * @returns {MatrixOptions}
 */
export function matrixOptions(args) {
  const { brokers, transports, subset, output } = parse(args)
  const split = (/** @type {string} */ list) => list.split(',').filter((name) => name !== '')
  const chosen = { brokers: split(brokers), transports: split(transports), subset, output }
  for (const broker of chosen.brokers)
    if (PACKAGES[broker.split('@')[0] ?? ''] === undefined)
      throw new ScriptFailure(`--brokers: ${broker} is none of ${Object.keys(PACKAGES).join(', ')}\n${USAGE}`)
  if (subset && output) throw new ScriptFailure(`--subset is no result for the page\n${USAGE}`)
  return { ...chosen, brokers: chosen.brokers.length === 0 ? VERSIONS : chosen.brokers }
}

/** @param {string[]} args */
function parse(args) {
  try {
    return parseArgs({
      args,
      options: {
        brokers: { type: 'string', default: '' },
        transports: { type: 'string', default: '' },
        subset: { type: 'boolean', default: false },
        output: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    throw new ScriptFailure(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`)
  }
}

/**
 * Starts each version in turn and runs the suites of its packages on it.
 *
 * @param {Pick<MatrixOptions, 'brokers' | 'transports' | 'subset'>} options
 * @returns {Promise<MatrixRow[]>}
 */
export async function runMatrix({ brokers, transports, subset }) {
  const pattern = subset ? casesPattern() : undefined
  /** @type {MatrixRow[]} */
  const rows = []
  for (const spec of brokers) {
    const [name = '', version] = spec.split('@')
    const folders = (PACKAGES[name] ?? []).filter(
      (folder) => transports.length === 0 || transports.includes(basename(folder)),
    )
    if (folders.length === 0) continue
    const broker = await startBroker(name, version)
    try {
      process.stdout.write(`\n${name} ${broker.version}\n`)
      for (const folder of folders) rows.push(await runSuite(folder, broker, pattern))
    } finally {
      await broker.remove()
    }
  }
  return rows
}

/**
 * The launcher is built by then, and not before.
 *
 * @param {string} name
 * @param {string | undefined} version
 * @param {BrokerSettings} [settings]
 * @returns {Promise<Broker>}
 */
export async function startBroker(name, version, settings = {}) {
  const launcher = await import(join(ROOT, 'packages/testkit/dist/brokers/index.js'))
  return launcher.startBroker(name, {
    ...settings,
    version,
    log: (/** @type {string} */ line) => process.stdout.write(`${line}\n`),
  })
}

/**
 * @param {string} folder
 * @param {Omit<Broker, 'remove'>} broker
 * @param {string | undefined} pattern Which cases, for vitest's `-t`; undefined: all.
 * @param {Readonly<Record<string, string>>} [more] Further variables of the environment.
 * @returns {Promise<MatrixRow>}
 */
export async function runSuite(folder, broker, pattern, more = {}) {
  const results = mkdtempSync(join(tmpdir(), 'streamswitch-matrix-'))
  const report = join(results, 'vitest.json')
  const environment = { ...environmentOf(broker.urls), ...more }
  const begin = performance.now()
  try {
    const { output } = await run(
      process.execPath,
      [
        join(ROOT, folder, 'node_modules/vitest/vitest.mjs'),
        'run',
        SUITE,
        '--reporter=dot',
        '--reporter=json',
        `--outputFile.json=${report}`,
        ...(pattern === undefined ? [] : ['-t', pattern]),
      ],
      { cwd: join(ROOT, folder), env: { ...environment, VITEST: undefined }, output: 'capture' },
    )
    const seconds = Math.round((performance.now() - begin) / 1000)
    const row = { broker: broker.name, version: broker.version, transport: basename(folder), seconds }
    return { ...row, ...readReport(readFileSync(report, 'utf8').trim() || output) }
  } catch (error) {
    if (error instanceof ScriptFailure) throw error
    throw new ScriptFailure(`${folder} on ${broker.name} ${broker.version} left no report: ${String(error)}`)
  } finally {
    rmSync(results, { recursive: true, force: true })
  }
}

/**
 * @param {Readonly<Record<string, string>>} urls
 * @returns {Record<string, string>}
 */
function environmentOf(urls) {
  const { management } = urls
  const found = Object.entries(urls).map(([scheme, url]) => {
    // Streams are listed by the management API, which the adapter looks for on its usual port.
    const needsManagement = scheme === 'rabbitmq-stream' && management !== undefined && !url.includes('managementUrl=')
    return [VARIABLES[scheme] ?? '', needsManagement ? `${url}?managementUrl=${encodeURIComponent(management)}` : url]
  })
  return Object.fromEntries(found)
}

/**
 * What a JSON report of vitest says.
 *
 * @param {string} text
 * @returns {Pick<MatrixRow, 'cases' | 'passed' | 'skipped' | 'failures'>}
 */
export function readReport(text) {
  /** @type {{ success?: boolean, testResults: { message?: string, assertionResults: { ancestorTitles: string[], title: string, status: string, failureMessages?: string[] }[] }[] }} */
  const report = JSON.parse(text)
  const all = report.testResults.flatMap(({ assertionResults }) => assertionResults)
  if (all.length === 0) throw new ScriptFailure(`the suite has no cases: ${report.testResults[0]?.message ?? ''}`)
  const run = all.filter(({ status }) => status === 'passed' || status === 'failed')
  const failures = run
    .filter(({ status }) => status === 'failed')
    .map(({ ancestorTitles, title, failureMessages }) => ({
      title: [...ancestorTitles.slice(1), title].join(' > '),
      reason: firstLine(failureMessages?.[0] ?? ''),
    }))
  const passed = run.length - failures.length
  // A hook that fails is no case.
  if (report.success === false && failures.length === 0) failures.push({ title: 'hooks', reason: hookFailure(report) })
  return { cases: run.length, passed, skipped: all.length - run.length, failures }
}

/** @param {{ testResults: { message?: string }[] }} report */
function hookFailure({ testResults }) {
  const message = testResults.map((result) => result.message ?? '').find((text) => text !== '')
  return firstLine(message ?? 'a hook failed')
}

/** @param {string} message */
function firstLine(message) {
  return (message.split('\n')[0] ?? '').slice(0, 300)
}

/**
 * The names of adapters that have not the same number of cases on each version.
 *
 * @param {readonly MatrixRow[]} rows
 */
export function unequalCounts(rows) {
  const transports = [...new Set(rows.map(({ transport }) => transport))]
  return transports.flatMap((transport) => {
    const own = rows.filter((row) => row.transport === transport)
    if (new Set(own.map(({ cases }) => cases)).size <= 1) return []
    return [`${transport}: ${own.map((row) => `${row.cases} cases on ${row.broker} ${row.version}`).join(', ')}`]
  })
}

const HEADING = [
  '| broker | version | transport | cases | passed | failed | seconds | date |',
  '|---|---|---|---|---|---|---|---|',
]

/**
 * @param {readonly MatrixRow[]} rows
 * @param {Date} [date]
 */
export function matrixTable(rows, date = new Date()) {
  return [...HEADING, ...rows.map((row) => tableLine(row, date))].join('\n')
}

/**
 * @param {MatrixRow} row
 * @param {Date} date
 */
function tableLine({ broker, version, transport, cases, passed, failures, seconds }, date) {
  const cells = [broker, version, transport, cases, passed, failures.length, seconds, date.toISOString().slice(0, 10)]
  return `| ${cells.join(' | ')} |`
}

/**
 * What failed, by its reason: a version that refuses something fails many cases for one.
 *
 * @param {readonly MatrixRow[]} rows
 */
export function failureList(rows) {
  return rows.flatMap(failureLines).join('\n')
}

/** @param {MatrixRow} row */
function failureLines({ broker, version, transport, failures }) {
  /** @type {Map<string, string[]>} */
  const byReason = new Map()
  for (const { title, reason } of failures) {
    // Random names of topics and numbers would make each reason another one.
    const kind = reason.replaceAll(/[a-z0-9]+(?:-[a-z0-9]+)*-[0-9a-f]{6,}[^\s']*/g, '…').replaceAll(/\d{3,}/g, 'N')
    byReason.set(kind, [...(byReason.get(kind) ?? []), title])
  }
  return [...byReason].map(([reason, titles]) => {
    const more = titles.length > TITLES_SHOWN ? ` and ${titles.length - TITLES_SHOWN} more` : ''
    return `- ${broker} ${version}, ${transport}: ${reason.replaceAll('|', '\\|')} (${titles.length}: ${titles.slice(0, TITLES_SHOWN).join('; ')}${more})`
  })
}

/**
 * Puts rows into the page in place of earlier ones of the same version and transport.
 *
 * @param {readonly MatrixRow[]} rows
 * @param {Date} date
 */
function writeMatrix(rows, date) {
  const key = (/** @type {string} */ line) => line.split('|').slice(1, 4).join('|')
  const table = new Map(
    readPageSection(PAGE, 'results')
      .split('\n')
      .filter((line) => line.startsWith('| ') && !line.startsWith('| broker'))
      .map((line) => [key(line), line]),
  )
  for (const row of rows) table.set(key(tableLine(row, date)), tableLine(row, date))
  const about = (/** @type {string} */ line) =>
    rows.some((row) => line.startsWith(`- ${row.broker} ${row.version}, ${row.transport}:`))
  const failures = readPageSection(PAGE, 'failures')
    .split('\n')
    .filter((line) => line.startsWith('- ') && !about(line))
  writePageSection(PAGE, 'results', [...HEADING, ...table.values()].join('\n'))
  const lines = [...failures, ...rows.flatMap(failureLines)]
  writePageSection(PAGE, 'failures', lines.length === 0 ? 'None.' : lines.join('\n'))
}
