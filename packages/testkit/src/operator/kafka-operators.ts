import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { portOf } from '../brokers/definition.js'
import type { BrokerHandle } from '../brokers/index.js'
import { KAFKA_RIGHTS_OPERATORS } from './kafka-rights-operators.js'
import type { Contradiction, Operator, OperatorLoad } from './operator.js'

const run = promisify(execFile)

async function configs(broker: BrokerHandle, ...words: readonly string[]): Promise<string> {
  const address = `127.0.0.1:${portOf(broker.ports, 'kafka')}`
  const { stdout } = await run(broker.tool('kafka-configs'), ['--bootstrap-server', address, ...words])
  return stdout
}

/** A setting of the broker that topics inherit. */
function topicDefault(
  setting: string,
  topicSetting: string,
  value: string | number,
  more: { readonly load?: OperatorLoad; readonly contradicts?: readonly Contradiction[] } = {},
): Operator {
  return {
    name: `${setting} ${value}`,
    broker: 'kafka',
    transports: ['kafka'],
    config: [`${setting}=${value}`],
    async notInForce(broker, topic) {
      const shown = await configs(broker, '--describe', '--all', '--entity-type', 'topics', '--entity-name', topic)
      const found = new RegExp(`^\\s*${topicSetting.replaceAll('.', '\\.')}=(\\S+)`, 'm').exec(shown)?.[1]
      return found === String(value) ? [] : [`${topicSetting} of ${topic} is ${found}`]
    },
    contradicts: [],
    ...more,
  }
}

const RETENTION = { 'retention.bytes': 1_500_000, 'segment.bytes': 1_048_576 }

/** Retention that deletes what nobody has handled yet. */
const retention: Operator = {
  name: 'log.retention.bytes 1500000, segments of 1 MiB',
  broker: 'kafka',
  transports: ['kafka'],
  config: [
    `log.retention.bytes=${RETENTION['retention.bytes']}`,
    `log.segment.bytes=${RETENTION['segment.bytes']}`,
    'log.retention.check.interval.ms=300',
    'log.initial.task.delay.ms=300',
  ],
  async notInForce(broker, topic) {
    const shown = await configs(broker, '--describe', '--all', '--entity-type', 'topics', '--entity-name', topic)
    return Object.entries(RETENTION)
      .filter(([name, value]) => !new RegExp(`^\\s*${name}=${value}\\b`, 'm').test(shown))
      .map(([name, value]) => `${name} of ${topic} is not ${value}`)
  },
  removes: true,
  load: { messages: 600, bytes: 20_000, idleMs: 2000 },
  contradicts: [
    { cases: 'history > *', reason: 'the history is cut by the retention' },
    { cases: 'slow handlers > a slow loop*', reason: 'the backlog is cut by the retention' },
  ],
}

const QUOTAS = { producer_byte_rate: 50_000, consumer_byte_rate: 50_000, request_percentage: 20 }

/** What operators of Kafka do. */
export const KAFKA_OPERATORS: readonly Operator[] = [
  topicDefault('message.max.bytes', 'max.message.bytes', 100_000, {
    contradicts: [
      { cases: 'publish and subscribe > a payload of * bytes passes', reason: 'the broker takes less' },
      { cases: 'requests and replies > parts of any size*', reason: 'the broker takes less' },
    ],
  }),
  topicDefault('log.message.timestamp.type', 'message.timestamp.type', 'LogAppendTime', {
    contradicts: [
      {
        cases: "publish and subscribe > the sender's id and timestamp*",
        reason: "the broker's time replaces the sender's",
      },
      { cases: 'history > from a timestamp*', reason: "the broker's time replaces the sender's" },
      ...[
        'records made to break a protocol arrive as they were sent',
        'redelivery > a failing handler gets the same message again*',
        'dead letters > by default*',
        'the box of dead letters > lists them*',
        'the box of dead letters > replays one*',
      ].map((cases) => ({ cases, reason: "compares the sender's time" })),
    ],
  }),
  topicDefault('compression.type', 'compression.type', 'gzip'),
  topicDefault('log.cleanup.policy', 'cleanup.policy', 'compact', {
    contradicts: [{ cases: '*', reason: 'records without a key are refused, and of each key only the last is kept' }],
  }),
  retention,
  ...KAFKA_RIGHTS_OPERATORS,
  {
    name: 'quotas: 50 kB/s for producers and consumers, 20 % of a request thread',
    broker: 'kafka',
    transports: ['kafka'],
    async apply(broker) {
      const added = Object.entries(QUOTAS).map(([name, value]) => `${name}=${value}`)
      await configs(broker, '--alter', '--add-config', added.join(','), '--entity-type', 'clients', '--entity-default')
    },
    async notInForce(broker) {
      const shown = await configs(broker, '--describe', '--entity-type', 'clients', '--entity-default')
      return Object.entries(QUOTAS)
        .filter(([name, value]) => !new RegExp(`${name}=${value}(\\.0)?\\b`).test(shown))
        .map(([name]) => `${name} is not in ${shown.trim()}`)
    },
    load: { messages: 60, bytes: 2000 },
    contradicts: [
      { cases: 'concurrent publishers and subscribers > *', reason: 'its load takes longer than the quota allows' },
      { cases: 'publish and subscribe > a payload of * bytes passes', reason: 'takes longer than the quota allows' },
      { cases: 'requests and replies > parts of any size*', reason: 'takes longer than the quota allows' },
    ],
  },
]
