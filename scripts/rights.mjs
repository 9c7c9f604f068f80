import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { failureList, runSuite } from './brokers-matrix.mjs'
import { casesPattern } from './newest-brokers-cases.mjs'
import { ScriptFailure } from './run.mjs'
import { build } from './turbo.mjs'
import { ROOT } from './workspace.mjs'

const USAGE = 'usage: test:rights [--transports redis,amqp] [--cases all|some]'
/** Below which the service may do everything, and nothing elsewhere. */
const PREFIX = 'rights.'
const NAME = 'app'
const ROLE = 'service'

/**
 * Cases that need a right more than the service has, by a part of their titles, and the role with that right.
 *
 * @typedef {{ readonly cases: string, readonly right: string, readonly role: string }} MoreRights
 */

/**
 * The files that users copy, and by transport what their minimal rights don't suffice for.
 *
 * @type {Readonly<Record<string, { readonly file: string, readonly more: readonly MoreRights[] }>>}
 */
export const RIGHTS = {
  redis: {
    file: 'docs/rights/redis.acl',
    more: [
      { cases: 'topics by pattern > ', right: '+scan: lists topics', role: 'service-listing' },
      {
        cases: 'dedupe with the store in another database > ',
        right: '+select: a database other than 0',
        role: 'service-databases',
      },
    ],
  },
  amqp: { file: 'docs/rights/amqp.json', more: [] },
  'rabbitmq-stream': {
    file: 'docs/rights/rabbitmq-stream.json',
    more: [
      {
        cases: 'topics by pattern > ',
        right: 'the tag management: lists topics by the management API',
        role: 'service-listing',
      },
    ],
  },
  kafka: { file: 'docs/rights/kafka.acls', more: [] },
}

/** The cases that `npm test` runs: each needs another right than those before it. */
export const CASES = [
  'capabilities > lag is what the group has not finished, also before its first message',
  'many topics > a prefix separates what has the same name, and no message shows it',
  'topics by pattern > topics that match are received, now and later; what runs is not disturbed',
  'history > a group that comes late reads the history from its beginning, in order',
  'history > seek to the offset of a message begins with it',
  'groups > a member that leaves and a new one that joins while messages flow: none lost, order kept',
  'batch send > a list is sent in order; a receipt for each, in order',
  "dead letters > by default they go to the group's own topic, with original bytes, key, headers, id and time, and say what happened",
  'the box of dead letters > replays one, some or all to the failed group alone, as they were, with attempts from 1; discards the rest',
  'dedupe with the store in * > resends are handled once, in each of two groups',
  'requests and replies > parts of any size and codec, byte for byte',
  'requests and replies > replies travel on another transport where one is declared',
  "foreign clients > * writes, we read, with defaults for all it didn't say",
  'start positions > an offset that is not there is reported, *',
]

/** @typedef {import('./brokers-matrix.mjs').MatrixRow} MatrixRow */

/**
 * Runs the conformance suites with the product's connections under the rights of `docs/rights`, each on a broker of its own, and prints
 * a table. Rejects when a case failed.
 *
 * @param {string[]} args
 */
export async function runRights(args) {
  const { transports, cases } = rightsOptions(args)
  await build({ packages: ['./packages/*'], quiet: true })
  /** @type {MatrixRow[]} */
  const rows = []
  for (const transport of transports) rows.push(await runUnderRights(transport, cases === 'some' ? CASES : undefined))
  process.stdout.write(`\n${rightsTable(rows)}\n\n${failureList(rows)}\n`)
  if (rows.some(({ failures }) => failures.length > 0)) throw new ScriptFailure('')
}

/**
 * @param {string[]} args
 * @returns {{ transports: readonly string[], cases: string }}
 */
export function rightsOptions(args) {
  const { transports, cases } = parse(args)
  const chosen = transports.split(',')
  for (const transport of chosen)
    if (!Object.hasOwn(RIGHTS, transport))
      throw new ScriptFailure(`--transports: '${transport}' is none of ${Object.keys(RIGHTS).join(', ')}\n${USAGE}`)
  if (!['all', 'some'].includes(cases)) throw new ScriptFailure(`--cases: '${cases}' is none of all, some\n${USAGE}`)
  return { transports: chosen, cases }
}

/** @param {string[]} args */
function parse(args) {
  try {
    return parseArgs({
      args,
      options: {
        transports: { type: 'string', default: Object.keys(RIGHTS).join() },
        cases: { type: 'string', default: 'all' },
      },
    }).values
  } catch (error) {
    throw new ScriptFailure(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`)
  }
}

/**
 * What a suite is told of the rights that it runs under: `TestedRights` of `@streamswitch/testkit/rights`.
 *
 * @typedef {{ readonly minimal: { readonly user: string, readonly url: string } }} Tested
 */

/**
 * @param {string} transport
 * @param {readonly string[]} [cases] Titles; left out: all.
 * @param {(tested: Tested, administratorUrl: string) => Tested} [alter] Makes the suite run under something else, to see that it notices.
 * @returns {Promise<MatrixRow>}
 */
export async function runUnderRights(transport, cases, alter = (tested) => tested) {
  const { file, more } = /** @type {(typeof RIGHTS)[string]} */ (RIGHTS[transport])
  const { startLimitedBroker, TESTED_RIGHTS_VARIABLE } = await import(
    join(ROOT, 'packages/testkit/dist/rights/index.js')
  )
  const rights = readFileSync(join(ROOT, file), 'utf8')
  const limited = await startLimitedBroker({ transport, rights, name: NAME })
  try {
    await limited.grant({ prefix: PREFIX })
    const user = (/** @type {string} */ role) => ({ user: `${NAME}-${role}`, url: limited.url(role) })
    const tested = {
      prefix: PREFIX,
      minimal: user(ROLE),
      more: more.map(({ role, ...rest }) => ({ ...rest, ...user(role) })),
      connections: await limited.connections(),
    }
    process.stdout.write(`${transport} on ${limited.broker.name} ${limited.broker.version} under ${file}\n`)
    const { name, version } = limited.broker
    const urls = { ...limited.broker.urls, [transport]: limited.administratorUrl }
    return await runSuite(
      join('packages', transport),
      { name, version, urls },
      cases === undefined ? undefined : casesPattern([...cases]),
      {
        [TESTED_RIGHTS_VARIABLE]: JSON.stringify(alter(tested, limited.administratorUrl)),
      },
    )
  } finally {
    await limited[Symbol.asyncDispose]()
  }
}

/** @param {readonly MatrixRow[]} rows */
export function rightsTable(rows) {
  const lines = rows.map(
    ({ broker, version, transport, cases, passed, failures, seconds }) =>
      `| ${broker} | ${version} | ${transport} | ${cases} | ${passed} | ${failures.length} | ${seconds} |`,
  )
  return [
    '| broker | version | transport | cases | passed | failed | seconds |',
    '|---|---|---|---|---|---|---|',
    ...lines,
  ].join('\n')
}
