import { execFile } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { portOf } from '../brokers/definition.js'
import type { BrokerHandle } from '../brokers/index.js'
import { callManagement, type ManagementAnswer } from '../brokers/rabbitmq-probe.js'
import { BACKLOG, type Operator } from './operator.js'

const run = promisify(execFile)
const CALL_TIMEOUT_MS = 10_000
const QUEUES = ['amqp']
const STREAMS = ['rabbitmq-stream']
const BOTH = [...QUEUES, ...STREAMS]

async function manage(broker: BrokerHandle, method: string, path: string, body?: unknown): Promise<ManagementAnswer> {
  const answer = await callManagement(portOf(broker.ports, 'management'), method, path, body, CALL_TIMEOUT_MS)
  if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  return answer
}

/** A queue or stream as `rabbitmqctl` lists it: the management API shows effective policies only some seconds later. */
interface ListedQueue {
  readonly name: string
  readonly type: string
  readonly policy: string
  readonly effective_policy_definition: readonly (readonly [string, unknown])[]
}

async function queuesOf(broker: BrokerHandle, topic: string): Promise<readonly ListedQueue[]> {
  const columns = ['name', 'type', 'policy', 'effective_policy_definition']
  const listing = await control(broker, 'list_queues', ...columns, '--formatter', 'json')
  const queues = (JSON.parse(listing) as readonly ListedQueue[]).filter(({ name }) => name.includes(topic))
  if (queues.length === 0) throw new Error(`there is no queue of ${topic}`)
  return queues
}

async function control(broker: BrokerHandle, ...words: readonly string[]): Promise<string> {
  const { stdout } = await run(broker.tool('rabbitmqctl'), ['--quiet', ...words], { maxBuffer: 64 * 1024 * 1024 })
  return stdout.trim()
}

const POLICY = 'operator'

/** A policy for every queue (or stream) of the virtual host. Classic queues know no delivery limit. */
function policy(
  applyTo: 'queues' | 'streams',
  definition: Readonly<Record<string, string | number>>,
  more: Pick<Operator, 'load' | 'contradicts' | 'lossIsDocumented' | 'removes'>,
): Operator {
  const text = Object.entries(definition)
    .map(([key, value]) => `${key} ${value}`)
    .join(', ')
  return {
    name: `policy for ${applyTo}: ${text}`,
    broker: 'rabbitmq',
    transports: applyTo === 'streams' ? STREAMS : QUEUES,
    async apply(broker) {
      await manage(broker, 'PUT', `policies/%2F/${POLICY}`, { pattern: '.*', 'apply-to': applyTo, definition })
    },
    async notInForce(broker, topic) {
      const types =
        applyTo === 'streams' ? ['stream'] : 'delivery-limit' in definition ? ['quorum'] : ['quorum', 'classic']
      const concerned = (await queuesOf(broker, topic)).filter(({ type }) => types.includes(type))
      return concerned.flatMap((queue) => {
        const effective = Object.fromEntries(queue.effective_policy_definition)
        return Object.entries(definition)
          .filter(([key, value]) => queue.policy !== POLICY || effective[key] !== value)
          .map(([key]) => `${key} of ${queue.name} (${queue.type}) is ${String(effective[key])}`)
      })
    },
    ...more,
  }
}

/** A setting of rabbitmq.conf that the broker shows as its environment. */
function configured(
  name: string,
  config: readonly string[],
  expression: string,
  expected: string,
  more: Pick<Operator, 'transports' | 'contradicts' | 'load'>,
): Operator {
  return {
    name,
    broker: 'rabbitmq',
    config,
    async notInForce(broker) {
      const value = await control(broker, 'eval', expression)
      return value === expected ? [] : [`${name}: the broker says ${value}`]
    },
    ...more,
  }
}

/** A limit of the virtual host. */
function limit(name: string, value: number, more: Pick<Operator, 'transports' | 'contradicts' | 'load'>): Operator {
  return {
    name: `limit of the virtual host: ${name} ${value}`,
    broker: 'rabbitmq',
    async apply(broker) {
      await manage(broker, 'PUT', `vhost-limits/%2F/${name}`, { value })
    },
    async notInForce(broker) {
      const { body } = await manage(broker, 'GET', 'vhost-limits/%2F')
      const limits = (body as readonly { readonly value: Readonly<Record<string, number>> }[])[0]?.value ?? {}
      return limits[name] === value ? [] : [`${name} is ${limits[name]}`]
    },
    ...more,
  }
}

/** What a queue is whose declaration names no type. */
function defaultQueueType(type: 'quorum' | 'stream'): Operator {
  return {
    name: `default queue type: ${type}`,
    broker: 'rabbitmq',
    transports: BOTH,
    async apply(broker) {
      await manage(broker, 'PUT', 'vhosts/%2F', { default_queue_type: type })
    },
    async notInForce(broker) {
      const { body } = await manage(broker, 'GET', 'vhosts/%2F')
      const found = (body as { readonly default_queue_type?: string }).default_queue_type
      return found === type ? [] : [`the default queue type is ${found}`]
    },
    contradicts: [],
  }
}

const everything = { configure: '.*', write: '.*', read: '.*' }

/** Rights of the user that are taken away while messages flow, and given back. */
function rightsTaken(right: keyof typeof everything): Operator {
  return {
    name: `the right to ${right} is taken away for 3 s`,
    broker: 'rabbitmq',
    transports: BOTH,
    async notInForce() {
      return []
    },
    async disturb(broker) {
      await manage(broker, 'PUT', 'permissions/%2F/guest', { ...everything, [right]: '^$' })
      const { body } = await manage(broker, 'GET', 'permissions/%2F/guest')
      if ((body as Readonly<Record<string, string>>)[right] !== '^$')
        throw new Error(`the right to ${right} is still there`)
      await delay(3000)
      await manage(broker, 'PUT', 'permissions/%2F/guest', everything)
    },
    contradicts: [],
  }
}

const NO_DEAD_LETTERS_KEPT = {
  cases: 'the box of dead letters > *',
  reason: 'dead letters are kept for as long as the policy says',
}

/** What operators of RabbitMQ do. */
export const RABBITMQ_OPERATORS: readonly Operator[] = [
  policy('queues', { 'delivery-limit': 3 }, { contradicts: [] }),
  policy(
    'queues',
    { 'message-ttl': 3000 },
    {
      load: { idleMs: 5000 },
      contradicts: [
        NO_DEAD_LETTERS_KEPT,
        {
          cases: 'concurrent publishers and subscribers > 50 producers*',
          reason: 'the last of 5,000 messages wait for longer on a busy machine',
        },
        { cases: 'slow handlers > *', reason: 'messages wait for longer than the policy lets them live' },
      ],
    },
  ),
  policy(
    'queues',
    { expires: 5000 },
    {
      lossIsDocumented: 'the broker deletes a queue with all that is in it, and dead-letters nothing of it',
      load: { idleMs: 7000 },
      contradicts: [{ ...NO_DEAD_LETTERS_KEPT, reason: 'queues without a consumer are deleted after 5 s' }],
    },
  ),
  policy('queues', { 'max-length': 20, overflow: 'reject-publish' }, { contradicts: BACKLOG }),
  policy(
    'queues',
    { 'max-length': 20, overflow: 'drop-head' },
    {
      lossIsDocumented:
        'the overflow of a policy beats that of the queue, and at-least-once dead-lettering needs reject-publish',
      contradicts: BACKLOG,
    },
  ),
  defaultQueueType('quorum'),
  defaultQueueType('stream'),
  configured(
    'frame_max of 8 KiB',
    ['frame_max = 8192'],
    'element(2, application:get_env(rabbit, frame_max)).',
    '8192',
    {
      transports: QUEUES,
      contradicts: [],
    },
  ),
  configured(
    'stream.frame_max of 128 KiB',
    ['stream.frame_max = 131072'],
    'element(2, application:get_env(rabbitmq_stream, frame_max)).',
    '131072',
    {
      transports: STREAMS,
      contradicts: [
        { cases: 'publish and subscribe > a payload of * bytes passes', reason: 'a message has to fit into one frame' },
      ],
    },
  ),
  limit('max-connections', 8, {
    transports: BOTH,
    contradicts: [
      { cases: 'concurrent publishers and subscribers > 50 producers*', reason: 'needs more connections' },
      { cases: 'groups > *', reason: 'needs more connections' },
      { cases: 'topics by pattern > *', reason: 'needs more connections' },
      { cases: 'requests and replies > 4 callers*', reason: 'needs more connections' },
    ],
  }),
  limit('max-queues', 12, {
    transports: BOTH,
    contradicts: [
      { cases: 'many topics > *', reason: 'needs more queues' },
      { cases: 'groups > *', reason: 'needs more queues' },
      { cases: 'topics by pattern > *', reason: 'needs more queues' },
      { cases: 'concurrent publishers and subscribers > *', reason: 'needs more queues' },
      ...['capabilities > lag is*', 'slow handlers > *', 'the box of dead letters > *'].map((cases) => ({
        cases,
        reason: 'with the cases that run beside it, needs more queues',
      })),
    ],
  }),
  rightsTaken('write'),
  rightsTaken('read'),
  policy(
    'streams',
    { 'max-length-bytes': 1_000_000, 'stream-max-segment-size-bytes': 500_000 },
    {
      removes: true,
      load: { messages: 400, bytes: 10_000, idleMs: 1000 },
      contradicts: [
        { cases: 'history > *', reason: 'the history is cut by the policy' },
        { cases: 'slow handlers > a slow loop*', reason: 'the backlog is cut by the policy' },
      ],
    },
  ),
]
