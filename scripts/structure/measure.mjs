import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { run, ScriptFailure } from '../run.mjs'
import { build } from '../turbo.mjs'
import { filesBelow, ROOT } from '../workspace.mjs'
import { codeLines, exportedNames, functionOnlyTypes, largestCircle, readSources, writersOf } from './source-graph.mjs'

const CORE = 'packages/core/src'
const LONGEST_FILE = 450
const ADAPTERS = ['memory', 'http', 'redis', 'kafka', 'amqp', 'rabbitmq-stream']

/**
 * One concept, one option name. What the adapters call it, today and in the past: a name that comes back counts.
 *
 * @type {Readonly<Record<string, readonly string[]>>}
 */
const CONCEPTS = {
  'how often a member or connection reports itself': [
    'heartbeatIntervalMs',
    'heartbeatSeconds',
    'heartbeatMs',
    'memberIntervalMs',
  ],
  'how long a request may take': ['requestTimeoutMs', 'callTimeoutMs', 'responseTimeoutMs', 'receiveTimeoutMs'],
  'how long a socket may take to connect': ['socketTimeoutMs', 'connectionTimeoutMs'],
  'bytes of a fetch': ['maxFetchBytes', 'maxBytes', 'maxBytesPerFetch'],
  'addresses of a broker': ['hosts', 'brokers'],
  'how long a rebalance may take': ['rebalanceTimeoutMs', 'handoverTimeoutMs'],
  'how long a silent member keeps its partitions': ['sessionTimeoutMs', 'leaseMs'],
  'copies of a topic': ['replicationFactor', 'replicas'],
}

/** Prints the measures of the structure: files that a reader passes for one send and one delivery, circles, sizes. */
export async function measureStructure() {
  await build({ packages: ['@streamswitch/core', '@streamswitch/memory'], quiet: true })
  const core = readSources(CORE)
  const { send, delivery } = await trace()
  const circle = largestCircle(core)
  const callbacks = functionOnlyTypes(core.filter(({ path }) => !path.startsWith('contract/')))
  const suffixed = core.flatMap(
    ({ text }) => text.match(/^(?:export )?interface \w+(?:Host|Owner|Keeper|Callbacks)\b/gm) ?? [],
  )
  const long = core.filter(({ text }) => text.split('\n').length > LONGEST_FILE)
  const contract = core.filter(({ path }) => path.startsWith('contract/') && !path.startsWith('contract/optional/'))
  const door = core.find(({ path }) => path === 'driver.ts')
  /** @type {[string, string | number, (string | readonly string[])?][]} */
  const rows = [
    ['files of core, lines', `${core.length}, ${sum(core.map(({ text }) => text.split('\n').length))}`],
    ['one send: files', send.files.length, send.files],
    ['one send: functions entered in another file than the last', send.changes],
    ['one delivery: files', delivery.files.length, delivery.files],
    ['one delivery: functions entered in another file than the last', delivery.changes],
    ...writerRows(core),
    ['interfaces and object types of functions alone', callbacks.length, callbacks],
    ['... of these called Host, Owner, Keeper or Callbacks', suffixed.length],
    ['files in the largest circle of imports, types included', circle.length],
    ['names behind /driver', door === undefined ? 'no door' : exportedNames(door)],
    ['lines of the required contract', sum(contract.map(({ text }) => codeLines(text)))],
    ['lines of the memory adapter', linesBelow('packages/memory/src')],
    ['lines of the file-system example', linesBelow('examples/custom-adapter/streamswitch-files/src')],
    [`files above ${LONGEST_FILE} lines`, long.length, long.map(({ path }) => path)],
  ]
  for (const [measure, value, detail] of rows) {
    process.stdout.write(`${measure}: ${value}\n`)
    if (detail !== undefined && detail.length > 0) process.stdout.write(`  ${[detail].flat().join(', ')}\n`)
  }
  process.stdout.write('option names of one concept:\n')
  for (const [concept, names] of Object.entries(optionNames()))
    process.stdout.write(`  ${concept}: ${names.join(', ')}\n`)
}

/**
 * @param {readonly import('./source-graph.mjs').Source[]} core
 * @returns {[string, number, string[]][]}
 */
function writerRows(core) {
  return ['Delivery', 'PartitionState'].map((name) => {
    const files = writersOf(core, name)
    return [`files that write fields of ${name}`, files.length, files]
  })
}

/** @returns {Promise<Record<'send' | 'delivery', { files: string[], changes: number }>>} */
async function trace() {
  const folder = join(ROOT, 'scripts/structure')
  const args = ['--import', join(folder, 'trace-register.mjs'), join(folder, 'trace.mjs')]
  const { code, output } = await run(process.execPath, args, { output: 'capture' })
  if (code !== 0) throw new ScriptFailure('the traced run of core failed', code)
  return JSON.parse(output)
}

/** Names in use for each concept, by the option fields of the adapters. */
function optionNames() {
  const sources = ADAPTERS.flatMap((name) => filesBelow(ROOT, `packages/${name}/src`, /option.*\.ts$/))
    .map((file) => readFileSync(join(ROOT, file), 'utf8'))
    .join('\n')
  return Object.fromEntries(
    Object.entries(CONCEPTS).map(([concept, names]) => [
      concept,
      names.filter((name) => new RegExp(`^\\s+${name}: option\\.`, 'm').test(sources)),
    ]),
  )
}

/** @param {string} folder */
function linesBelow(folder) {
  return sum(filesBelow(ROOT, folder, /\.ts$/).map((file) => readFileSync(join(ROOT, file), 'utf8').split('\n').length))
}

/** @param {readonly number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0)
}
