import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runBrokersMatrix } from './brokers-matrix.mjs'
import { runFuzzing } from './fuzz.mjs'
import { runOperator } from './operator.mjs'
import { testOnOtherNodes } from './other-nodes.mjs'
import { packRelease } from './pack-release.mjs'
import { requestRelease } from './release-request.mjs'
import { setReleaseVersion } from './release-version.mjs'
import { runReliability } from './reliability.mjs'
import { runRights } from './rights.mjs'
import { mustRun, ScriptFailure } from './run.mjs'
import { runTests } from './run-tests.mjs'
import { runSimulations } from './simulate.mjs'
import { runSlowConsumer } from './slow-consumer.mjs'
import { runSoak } from './soak.mjs'
import { measureStructure } from './structure/measure.mjs'
import { BROKERS_COMMAND } from './test-brokers.mjs'
import { build, turbo } from './turbo.mjs'
import { ROOT } from './workspace.mjs'

const CHECKS = [
  'typecheck',
  'check',
  'check:format',
  'check:boundaries',
  'check:adapters',
  'check:prose',
  'check:ranges',
  'check:links',
  'check:workflows',
  'check:api',
  'check:consumers',
  'check:unused',
]

/** @type {Record<string, (args: string[]) => Promise<void>>} */
const TASKS = {
  demo: (args) => runExample('flights', args),
  'demo:mixed': (args) => runExample('mixed', args),
  'demo:two-way': (args) => runExample('two-way', args),
  build: () => build(),
  test: (args) => runTests(args),
  'test:repeat': repeatTests,
  operator: (args) => runOperator(args),
  reliability: (args) => runReliability(args),
  soak: (args) => runSoak(args),
  fuzz: (args) => runFuzzing(args),
  'measure:structure': measureStructure,
  simulate: (args) => runSimulations(args),
  'slow-consumer': (args) => runSlowConsumer(args),
  'test:rights': (args) => runRights(args),
  'test:brokers-matrix': (args) => runBrokersMatrix(args),
  'test:node24': (args) => testOnOtherNodes(args),
  async check() {
    // --continue and finally: one run names everything that is wrong, not just what was found first.
    try {
      await turbo([...CHECKS, '--continue', '--concurrency=2'])
    } finally {
      await generateDocs(['--check'])
    }
  },
  async benchmark(args) {
    await build({ packages: ['@streamswitch/benchmarks'], quiet: true })
    await mustRun(process.execPath, [join(ROOT, 'benchmarks/dist/main.js'), ...args])
  },
  async 'idle-cost'(args) {
    await build({ packages: ['@streamswitch/benchmarks'], quiet: true })
    await mustRun(process.execPath, [join(ROOT, 'benchmarks/dist/idle-cost.js'), ...args])
  },
  async brokers(args) {
    await build({ packages: ['@streamswitch/testkit'], quiet: true })
    await mustRun(process.execPath, [...BROKERS_COMMAND, ...args])
  },
  async changeset(args) {
    await mustRun('pnpm', ['exec', 'changeset', ...args])
  },
  async 'release:version'() {
    const version = await setReleaseVersion()
    process.stdout.write(`version ${version}: after this is merged, the tag v${version} releases it\n`)
  },
  'release:request': () => requestRelease(),
  'release:pack': () => packRelease(),
  async 'generate:docs'() {
    await build({ packages: ['./packages/*'], quiet: true })
    await generateDocs([])
  },
  async 'generate:api'() {
    await build({ packages: ['@streamswitch/core'], quiet: true })
    await mustRun(process.execPath, [join(ROOT, 'scripts/api-reference/generate.mjs')])
  },
  async format() {
    await mustRun('pnpm', ['exec', 'biome', 'check', '--write', '.'])
  },
}

/**
 * `[times] [package...] [--file test/FILE.test.ts]`: the suites, or one file of each, so many times in a row. Ends with the first
 * round in which something fails.
 *
 * @param {readonly string[]} args
 */
async function repeatTests(args) {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { file: { type: 'string' } },
  })
  const [first = '10', ...names] = positionals
  const times = Number(first)
  if (!Number.isInteger(times) || times < 1)
    throw new ScriptFailure('usage: test:repeat [times] [package...] [--file test/FILE.test.ts]')
  for (let round = 1; round <= times; round += 1) {
    process.stdout.write(`\nround ${round} of ${times}\n`)
    await runTests(names, { fresh: true, file: values.file })
  }
}

/**
 * Builds an example with what it needs, and runs it.
 *
 * @param {string} name
 * @param {string[]} args
 */
async function runExample(name, args) {
  await build({ packages: [`@streamswitch/example-${name}`], quiet: true })
  await mustRun(process.execPath, [join(ROOT, `examples/${name}/dist/main.js`), ...args])
}

/**
 * Values come from the built packages, so they have to be built before.
 *
 * @param {readonly string[]} args
 */
async function generateDocs(args) {
  await mustRun(process.execPath, [join(ROOT, 'scripts/generate-docs.mjs'), ...args])
}

/**
 * Runs a task of the table above. Rejects with a message that lists them when there is none of that name.
 *
 * @param {string | undefined} name
 * @param {string[]} args
 */
export async function runTask(name, args) {
  const task = name === undefined ? undefined : TASKS[name]
  if (task === undefined) throw new ScriptFailure(`unknown task ${name ?? ''}; known: ${Object.keys(TASKS).join(', ')}`)
  await task(args)
}
