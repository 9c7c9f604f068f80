import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { failureList, runSuite, startBroker } from './brokers-matrix.mjs'
import { CASES, casesPatternWithout } from './newest-brokers-cases.mjs'
import { readPageSection, writePageSection } from './page-section.mjs'
import { ScriptFailure } from './run.mjs'
import { build } from './turbo.mjs'
import { ROOT } from './workspace.mjs'

const USAGE =
  'usage: operator [--brokers rabbitmq@4.3,redis] [--transports amqp] [--only PART-OF-A-NAME] [--cases all|twenty|none] [--output]'
const PAGE = 'docs/operators.md'
const WATCH_MS = 2000

/** Transport options that the conformance suites use too, so that members are noticed soon. */
const OPTIONS = { amqp: { memberIntervalMs: 200 } }

/**
 * An operator as `@streamswitch/testkit/operator` declares it.
 *
 * @typedef {object} Operator
 * @property {string} name
 * @property {string} broker
 * @property {readonly string[]} transports
 * @property {readonly string[]} [config]
 * @property {() => Promise<import('./brokers-matrix.mjs').BrokerSettings>} [prepare]
 * @property {(broker: unknown) => Promise<void>} [apply]
 * @property {(broker: unknown, topic: string) => Promise<readonly string[]>} notInForce
 * @property {(broker: unknown, topic: string) => Promise<void>} [disturb]
 * @property {string} [lossIsDocumented]
 * @property {readonly { readonly cases: string, readonly reason: string }[]} contradicts
 */

/**
 * @typedef {object} Ledger
 * @property {number} sent
 * @property {number} confirmed
 * @property {number} refused
 * @property {number} handled
 * @property {number} reported
 * @property {readonly string[]} lost
 * @property {readonly string[]} problems
 * @property {readonly string[]} refusals
 */

/**
 * What one operator did to one transport.
 *
 * @typedef {object} OperatorRow
 * @property {Operator} operator
 * @property {string} broker
 * @property {string} version
 * @property {string} transport
 * @property {Ledger | undefined} ledger Undefined where the run itself failed.
 * @property {import('./brokers-matrix.mjs').MatrixRow | undefined} suite
 * @property {readonly string[]} problems
 */

/** @typedef {{ readonly brokers: readonly string[], readonly transports: readonly string[], readonly only: string, readonly cases: string, readonly output: boolean }} OperatorOptions */

/**
 * Lets each hostile operator loose on a broker of its own, one after the other: keeps a ledger of messages under it, runs the
 * conformance cases that it doesn't contradict, and prints a table; with `--output` it also goes into `docs/operators.md`. Rejects when
 * a confirmed message was neither handled nor reported, when a case failed, or when a policy was not in force.
 *
 * @param {string[]} args
 */
export async function runOperator(args) {
  const options = operatorOptions(args)
  await build({ packages: ['./packages/*'], quiet: true })
  const rows = await runOperators(options)
  process.stdout.write(`\n${operatorTable(rows, new Date())}\n\n${problemList(rows)}\n`)
  if (options.output) writeOperators(rows, await operators(), new Date())
  if (rows.some((row) => rowProblems(row).length > 0)) throw new ScriptFailure('')
}

/**
 * @param {string[]} args
 * @returns {OperatorOptions}
 */
export function operatorOptions(args) {
  const values = parse(args)
  const split = (/** @type {string} */ list) => list.split(',').filter((name) => name !== '')
  if (!['all', 'twenty', 'none'].includes(values.cases))
    throw new ScriptFailure(`--cases: '${values.cases}' is none of all, twenty, none\n${USAGE}`)
  return { ...values, brokers: split(values.brokers), transports: split(values.transports) }
}

/** @param {string[]} args */
function parse(args) {
  try {
    return parseArgs({
      args,
      options: {
        brokers: { type: 'string', default: 'redis,rabbitmq,kafka' },
        transports: { type: 'string', default: '' },
        only: { type: 'string', default: '' },
        cases: { type: 'string', default: 'all' },
        output: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    throw new ScriptFailure(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`)
  }
}

/** @returns {Promise<readonly Operator[]>} */
async function operators() {
  const { OPERATORS } = await import(join(ROOT, 'packages/testkit/dist/operator/index.js'))
  return OPERATORS
}

/**
 * @param {Omit<OperatorOptions, 'output'>} options
 * @returns {Promise<OperatorRow[]>}
 */
export async function runOperators({ brokers, transports, only, cases }) {
  /** @type {OperatorRow[]} */
  const rows = []
  for (const spec of brokers) {
    const [name = '', version] = spec.split('@')
    const chosen = (await operators()).filter(
      (one) => one.broker === (name === 'valkey' ? 'redis' : name) && one.name.includes(only),
    )
    for (const operator of chosen) {
      for (const transport of operator.transports) {
        if (transports.length > 0 && !transports.includes(transport)) continue
        rows.push(await runOne(operator, transport, { name, version }, cases))
      }
    }
  }
  return rows
}

/**
 * @param {Operator} operator
 * @param {string} transport
 * @param {{ readonly name: string, readonly version: string | undefined }} wanted The broker.
 * @param {string} cases
 * @returns {Promise<OperatorRow>}
 */
async function runOne(operator, transport, wanted, cases) {
  const settings = (await operator.prepare?.()) ?? { config: operator.config ?? [] }
  const broker = await startBroker(wanted.name, wanted.version, settings)
  const row = { operator, broker: broker.name, version: broker.version, transport }
  process.stdout.write(`${transport} on ${broker.name} ${broker.version}: ${operator.name}\n`)
  try {
    await operator.apply?.(broker)
    const ledger = await keepLedger(operator, transport, broker)
    process.stdout.write(`  ${JSON.stringify({ ...ledger, lost: ledger.lost.length })}\n`)
    // What disturbs once is over by then: the cases would run on an ordinary broker.
    if (cases === 'none' || operator.disturb !== undefined) return { ...row, ledger, suite: undefined, problems: [] }
    return { ...row, ledger, ...(await runCases(operator, transport, broker, cases)) }
  } catch (error) {
    return {
      ...row,
      ledger: undefined,
      suite: undefined,
      problems: [error instanceof Error ? error.message : String(error)],
    }
  } finally {
    await broker.remove()
  }
}

/**
 * @param {Operator} operator
 * @param {string} transport
 * @param {import('./brokers-matrix.mjs').Broker} broker
 * @returns {Promise<Ledger>}
 */
async function keepLedger(operator, transport, broker) {
  const { keepOperatorLedger } = await import(join(ROOT, 'packages/testkit/dist/operator/index.js'))
  const { default: adapter } = await import(join(ROOT, 'packages', transport, 'dist/index.js'))
  const url = broker.urls[transport]
  const options = { options: /** @type {Record<string, object>} */ (OPTIONS)[transport] ?? {} }
  return keepOperatorLedger({ adapter, url, broker, operator, options })
}

/**
 * @param {Operator} operator
 * @param {string} transport
 * @param {import('./brokers-matrix.mjs').Broker} broker
 * @param {string} cases
 */
async function runCases(operator, transport, broker, cases) {
  const pattern = casesPatternWithout(
    operator.contradicts.map((one) => one.cases),
    cases === 'twenty' ? CASES : undefined,
  )
  if (operator.contradicts.some((one) => one.cases === '*')) return { suite: undefined, problems: [] }
  const ended = new AbortController()
  const watched = watchForce(operator, broker, ended.signal)
  const suite = await runSuite(join('packages', transport), broker, pattern)
  ended.abort()
  return { suite, problems: await watched }
}

/**
 * While the cases run, sees to it that the operator's doing is in force on every queue that they make.
 *
 * @param {Operator} operator
 * @param {import('./brokers-matrix.mjs').Broker} broker
 * @param {AbortSignal} signal
 */
async function watchForce(operator, broker, signal) {
  /** @type {Set<string>} */
  const problems = new Set()
  // A tool of Kafka's is a Java program of seconds, and its topics inherit from the broker.
  while (!signal.aborted && operator.broker !== 'kafka') {
    // Between two cases there may be no queue.
    const found = await operator.notInForce(broker, 'topic-').catch(() => [])
    for (const problem of found) problems.add(problem)
    await delay(WATCH_MS)
  }
  return [...problems]
}

const HEADING = [
  '| broker | version | operator | transport | sent | confirmed | refused | handled | reported | lost | cases | failed | date |',
  '|---|---|---|---|---|---|---|---|---|---|---|---|---|',
]

/**
 * @param {readonly OperatorRow[]} rows
 * @param {Date} date
 */
export function operatorTable(rows, date) {
  return [...HEADING, ...rows.map((row) => tableLine(row, date))].join('\n')
}

/**
 * @param {OperatorRow} row
 * @param {Date} date
 */
function tableLine({ operator, broker, version, transport, ledger, suite }, date) {
  const { sent, confirmed, refused, handled, reported, lost } = ledger ?? {}
  const mark = lost !== undefined && lost.length > 0 && operator.lossIsDocumented !== undefined ? ' (documented)' : ''
  const counts = [sent, confirmed, refused, handled, reported, lost && `${lost.length}${mark}`].map(
    (count) => count ?? '–',
  )
  const cells = [
    broker,
    version,
    operator.name,
    transport,
    ...counts,
    suite?.cases ?? '–',
    suite?.failures.length ?? '–',
    date.toISOString().slice(0, 10),
  ]
  return `| ${cells.join(' | ')} |`
}

/**
 * What is wrong in a row, one line each.
 *
 * @param {OperatorRow} row
 * @returns {string[]}
 */
export function rowProblems({ operator, broker, version, transport, ledger, suite, problems }) {
  const where = `${broker} ${version}, ${transport}, ${operator.name}`
  const lost = ledger?.lost ?? []
  return [
    ...(lost.length === 0 || operator.lossIsDocumented !== undefined
      ? []
      : [`- ${where}: ${lost.length} confirmed messages were neither handled nor reported`]),
    ...[...problems, ...(ledger?.problems ?? [])].map(
      (problem) => `- ${where}: ${problem.replaceAll('\n', ' ').slice(0, 400)}`,
    ),
    ...(suite === undefined || suite.failures.length === 0
      ? []
      : failureList([suite])
          .split('\n')
          .map((line) => `- ${where}: ${line.replace(/^- [^:]*: /, '')}`)),
  ]
}

/** @param {readonly OperatorRow[]} rows */
function problemList(rows) {
  return rows.flatMap(rowProblems).join('\n')
}

/**
 * Puts rows into the page in place of earlier ones of the same version, operator and transport.
 *
 * @param {readonly OperatorRow[]} rows
 * @param {readonly Operator[]} all
 * @param {Date} date
 */
function writeOperators(rows, all, date) {
  const key = (/** @type {string} */ line) => line.split('|').slice(1, 5).join('|')
  const table = new Map(
    readPageSection(PAGE, 'results')
      .split('\n')
      .filter((line) => line.startsWith('| ') && !line.startsWith('| broker'))
      .map((line) => [key(line), line]),
  )
  for (const row of rows) table.set(key(tableLine(row, date)), tableLine(row, date))
  const about = (/** @type {string} */ line) =>
    rows.some(({ operator, broker, version, transport }) =>
      line.startsWith(`- ${broker} ${version}, ${transport}, ${operator.name}:`),
    )
  const failures = readPageSection(PAGE, 'failures')
    .split('\n')
    .filter((line) => line.startsWith('- ') && !about(line))
  const lines = [...failures, ...rows.flatMap(rowProblems)]
  writePageSection(PAGE, 'results', [...HEADING, ...table.values()].join('\n'))
  writePageSection(PAGE, 'failures', lines.length === 0 ? 'None.' : lines.join('\n'))
  const documented = all.filter((one) => one.lossIsDocumented !== undefined)
  const reasons = documented.map((one) => `- ${one.broker}, ${one.name}: ${one.lossIsDocumented}.`)
  writePageSection(PAGE, 'documented', reasons.join('\n'))
  writePageSection(PAGE, 'contradictions', contradictionTable(all))
}

/** @param {readonly Operator[]} all */
function contradictionTable(all) {
  const lines = all.flatMap(({ broker, name, contradicts, disturb }) => {
    if (disturb !== undefined)
      return [
        `| ${broker} | ${name} | all | the cases expect a broker that nobody disturbs; the ledger alone is kept |`,
      ]
    return contradicts.map(({ cases, reason }) => `| ${broker} | ${name} | ${cases.replaceAll('*', '…')} | ${reason} |`)
  })
  return ['| broker | operator | cases | reason |', '|---|---|---|---|', ...lines].join('\n')
}
