import { slowConsumerTable, writeSection } from './reliability-page.mjs'
import { ScriptFailure } from './run.mjs'
import { readRunOptions, runSuites, suiteFolders } from './suite-runs.mjs'

const USAGE = 'usage: slow-consumer [--minutes 5] [--transports redis,amqp] [--parallel 1] [--output]'

/** Where messages wait for a slow consumer. Without a broker the senders wait. */
const BROKERED = ['amqp', 'kafka', 'rabbitmq-stream', 'redis']

/** @typedef {import('./suite-runs.mjs').RunOptions} RunOptions */

/**
 * Runs a consumer that is a hundred times slower than its senders for so many minutes on each transport, one after the other or
 * `--parallel` at a time, and prints what became of it; with `--output` it also goes into `docs/reliability.md`. Rejects when memory
 * grew beyond its bound, a partition or a connection was lost, or anything was lost, came twice or out of order.
 *
 * @param {string[]} args
 */
export async function runSlowConsumer(args) {
  const { minutes, transports, parallel, output } = slowConsumerOptions(args)
  const environment = { STREAMSWITCH_SLOW_CONSUMER_MINUTES: String(minutes) }
  const folders = suiteFolders(transports)
  const { rows, failed } = await runSuites(folders, { name: 'slow-consumer', parallel, environment })
  const table = slowConsumerTable(rows)
  process.stdout.write(`\n${table}\n`)
  if (output) writeSection('slow consumer', `${minutes} minutes for each transport.\n\n${table}`)
  if (failed) throw new ScriptFailure('')
}

/**
 * @param {string[]} args
 * @returns {RunOptions}
 */
export function slowConsumerOptions(args) {
  const { options, problems } = readRunOptions(args, { minutes: '5', usage: USAGE })
  const { transports } = options
  const unknown = transports.filter((name) => !BROKERED.includes(name))
  for (const name of unknown) problems.push(`--transports: ${name} is none of ${BROKERED.join(', ')}`)
  if (problems.length > 0) throw new ScriptFailure(`${problems.join('; ')}\n${USAGE}`)
  return { ...options, transports: transports.length === 0 ? BROKERED : transports }
}
