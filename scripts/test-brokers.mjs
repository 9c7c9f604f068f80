import { join } from 'node:path'
import { mustRun, run } from './run.mjs'
import { build } from './turbo.mjs'
import { ROOT } from './workspace.mjs'

/**
 * Which brokers each suite needs, by the package's folder. An empty list: it starts what it needs itself; not named: it needs nothing.
 * This is the only place where it is said: `test` starts these brokers, and `test:node24` runs the suites that aren't
 * named here.
 *
 * @type {Readonly<Record<string, readonly string[]>>}
 */
export const BROKERS_BY_SUITE = {
  'packages/redis': ['redis'],
  'packages/kafka': ['kafka'],
  'packages/amqp': ['rabbitmq'],
  'packages/rabbitmq-stream': ['rabbitmq'],
  'packages/testkit': [],
  scripts: [],
  'examples/custom-adapter': [],
  'examples/flights': ['redis', 'kafka', 'rabbitmq'],
  'examples/migrating': ['redis', 'kafka', 'rabbitmq'],
  'examples/mixed': ['kafka', 'rabbitmq'],
  'examples/two-way': ['redis', 'kafka', 'rabbitmq'],
}

/** The launcher's command line, to be run with Node.js once testkit is built. */
export const BROKERS_COMMAND = [join(ROOT, 'packages/testkit/dist/brokers/cli.js')]

/**
 * Runs `body` while the brokers that the given suites need are up, and afterwards stops those that weren't up before.
 * Rejects when a broker can't be had.
 *
 * @param {readonly string[]} suites Folders of packages.
 * @param {() => Promise<void>} body
 */
export async function withBrokers(suites, body) {
  const needed = [...new Set(suites.flatMap((suite) => BROKERS_BY_SUITE[suite] ?? []))]
  if (needed.length === 0) return body()
  await build({ packages: ['@streamswitch/testkit'], quiet: true })
  /** @type {string[]} */
  const ours = []
  for (const broker of needed) if (!(await isUp(broker))) ours.push(broker)
  try {
    await mustRun(process.execPath, [...BROKERS_COMMAND, 'up', ...needed])
    await body()
  } finally {
    if (ours.length > 0) await run(process.execPath, [...BROKERS_COMMAND, 'down', ...ours])
  }
}

/** @param {string} broker */
async function isUp(broker) {
  const { code, output } = await run(process.execPath, [...BROKERS_COMMAND, 'status', broker], { output: 'capture' })
  return code === 0 && /\bhealthy\b/.test(output)
}
