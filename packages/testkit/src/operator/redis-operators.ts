import { execFile } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { portOf } from '../brokers/definition.js'
import type { BrokerHandle, BrokerName } from '../brokers/index.js'
import type { Operator, OperatorLoad } from './operator.js'

const run = promisify(execFile)

async function command(broker: BrokerHandle, ...words: readonly string[]): Promise<string> {
  const client = broker.tool(`${broker.name}-cli`)
  const { stdout } = await run(client, ['-p', String(portOf(broker.ports, 'redis')), ...words])
  return stdout.trim()
}

/** A server that is short of memory: what it does then is its operator's choice. */
function shortOfMemory(name: BrokerName, policy: string, load: OperatorLoad): Operator {
  return {
    name: `maxmemory 16 MB, ${policy}`,
    broker: name,
    transports: ['redis'],
    config: ['maxmemory 16mb', `maxmemory-policy ${policy}`],
    async notInForce(broker) {
      const found = await command(broker, 'config', 'get', 'maxmemory-policy')
      return found.endsWith(policy) ? [] : [`maxmemory-policy is ${found}`]
    },
    load,
    ...(policy.startsWith('allkeys')
      ? { lossIsDocumented: 'the server evicts whole streams; the adapter can only warn of the setting' }
      : {}),
    contradicts: [
      { cases: 'slow handlers > a slow loop*', reason: 'keeps more waiting than the memory holds' },
      { cases: 'batch send > *limits of a batch*', reason: 'keeps more waiting than the memory holds' },
    ],
  }
}

/** Commands that the user loses while messages flow, and gets back. */
function commandsTaken(name: BrokerName, what: string, rules: readonly string[], undo: readonly string[]): Operator {
  return {
    name: `ACL: ${what} is taken away for 3 s`,
    broker: name,
    transports: ['redis'],
    async notInForce() {
      return []
    },
    async disturb(broker) {
      // The operator keeps a user that may give the rights back.
      await command(broker, 'acl', 'setuser', 'default', ...rules)
      const list = await command(broker, 'acl', 'list')
      if (!rules.every((rule) => list.includes(rule))) throw new Error(`the rules are not in force: ${list}`)
      await delay(3000)
      await command(broker, 'acl', 'setuser', 'default', ...undo)
    },
    contradicts: [],
  }
}

const TRIMMED_TO = 5
const TRIM_MS = 200
const TRIMMED_FOR_MS = 15_000

/** Somebody who keeps streams short, whether or not their entries were read. */
function trimmed(name: BrokerName): Operator {
  return {
    name: `XTRIM MAXLEN ${TRIMMED_TO} of each stream, five times per second for 15 s`,
    broker: name,
    transports: ['redis'],
    async notInForce() {
      return []
    },
    async disturb(broker, topic) {
      const found = await command(
        broker,
        '--raw',
        'scan',
        '0',
        'match',
        `*${topic}*`,
        'count',
        '10000',
        'type',
        'stream',
      )
      const streams = found.split('\n').slice(1)
      const end = performance.now() + TRIMMED_FOR_MS
      let gone = 0
      while (performance.now() < end) {
        for (const stream of streams)
          gone += Number(await command(broker, 'xtrim', stream, 'MAXLEN', String(TRIMMED_TO)))
        await delay(TRIM_MS)
      }
      if (gone === 0) throw new Error('nothing was trimmed')
    },
    removes: true,
    load: { messages: 200, idleMs: 3000 },
    contradicts: [],
  }
}

function operatorsOf(name: BrokerName): readonly Operator[] {
  // Twice as much as fits.
  const overfull: OperatorLoad = { messages: 600, bytes: 50_000 }
  return [
    shortOfMemory(name, 'noeviction', overfull),
    shortOfMemory(name, 'allkeys-lru', overfull),
    shortOfMemory(name, 'volatile-ttl', overfull),
    commandsTaken(name, 'XADD', ['-xadd'], ['+xadd']),
    commandsTaken(name, 'scripts', ['-eval', '-evalsha'], ['+eval', '+evalsha']),
    commandsTaken(name, 'XREADGROUP', ['-xreadgroup'], ['+xreadgroup']),
    trimmed(name),
  ]
}

/** What operators of Redis do. */
export const REDIS_OPERATORS: readonly Operator[] = operatorsOf('redis')
