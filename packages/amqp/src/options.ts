import {
  environmentText,
  hostsOption,
  hostTexts,
  type OptionInput,
  type OptionValues,
  option,
  secretOption,
  type TlsOptions,
  type TopicSpec,
  type TransportUrl,
  tlsFields,
} from '@streamswitch/core/driver'
import type { Binding } from './existing-exchange.js'

const MAX_ROUTING_KEY_BYTES = 255

function checkRoutingKey(raw: unknown): { readonly value: string } | string {
  return isRoutingKey(raw) ? { value: raw } : `must be a string of at most ${MAX_ROUTING_KEY_BYTES} bytes`
}

function checkBindings(raw: unknown): { readonly value: readonly Binding[] } | string {
  const expected =
    'must be a list of routing keys (at most 255 bytes) or { key, arguments }, with strings, numbers and booleans as arguments'
  if (!Array.isArray(raw) || raw.length === 0) return expected
  const bindings = raw.map((one: unknown) => (typeof one === 'string' ? { key: one } : one))
  return bindings.every(isBinding) ? { value: bindings } : expected
}

/** Bindings by topic. */
type BindingMap = Readonly<Record<string, readonly Binding[]>>

function checkBindingMap(raw: unknown): { readonly value: BindingMap } | string {
  const expected = 'must be an object (or its JSON): topic -> list of routing keys or { key, arguments }'
  const source = typeof raw === 'string' ? fromJson(raw) : raw
  if (typeof source !== 'object' || source === null || Array.isArray(source)) return expected
  const map: Record<string, readonly Binding[]> = Object.create(null)
  for (const [topic, given] of Object.entries(source)) {
    const bindings = checkBindings(given)
    if (typeof bindings === 'string') return `${expected}; '${topic.slice(0, 100)}' ${bindings}`
    map[topic] = bindings.value
  }
  return { value: map }
}

function checkReplyQueues(raw: unknown): { readonly value: readonly string[] } | string {
  const expected = "must be a list of queue names or patterns, with '*' for any characters, of 1 to 255 bytes each"
  const list = typeof raw === 'string' ? splitList(raw) : raw
  if (!Array.isArray(list)) return expected
  const isPattern = (one: unknown): one is string => isRoutingKey(one) && one !== ''
  return list.every(isPattern) ? { value: list } : expected
}

/** In variables and URLs lists are separated by commas. */
function splitList(text: string): readonly string[] {
  return text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isBinding(raw: unknown): raw is Binding {
  if (typeof raw !== 'object' || raw === null) return false
  const { key = '', arguments: given = {}, ...unknown } = raw as Readonly<Record<string, unknown>>
  if (!isRoutingKey(key) || typeof given !== 'object' || given === null || Object.keys(unknown).length > 0) return false
  return Object.values(given).every((value) => ['string', 'number', 'boolean'].includes(typeof value))
}

/** Returns whether a value is a valid routing key on the wire (a short string: AMQP 0-9-1, section 4.2.5.3). */
export function isRoutingKey(raw: unknown): raw is string {
  return typeof raw === 'string' && Buffer.byteLength(raw) <= MAX_ROUTING_KEY_BYTES
}

/** Options of the AMQP transport: `amqp://user:password@host:5672,other:5672/vhost?heartbeatSeconds=10`. */
export const amqpFields = {
  ...tlsFields,
  /**
   * Brokers of one cluster, as `host` or `host:port`, tried in turn. In a URL they are its hosts.
   * @default ['127.0.0.1']
   */
  hosts: hostsOption({ default: ['127.0.0.1'] }),
  /**
   * Whether to connect by TLS. Set by `amqps://`.
   * @default false
   */
  tls: option.flag({ default: false }),
  /**
   * User name.
   * @default 'guest'
   */
  username: option.text({ default: 'guest', environment: 'AMQP_USERNAME' }),
  /**
   * Password: a string, `{ file }` or a function; files and functions are read again at each connect. Default: `guest`
   * for the user `guest`.
   */
  password: secretOption({ environment: 'AMQP_PASSWORD' }),
  /**
   * Virtual host. In a URL it is the path.
   * @default '/'
   */
  vhost: option.text({ default: '/', environment: 'AMQP_VHOST' }),
  /**
   * Interval of heartbeats, in seconds; a silent peer is given up after two to three of them. The broker may request a
   * shorter one.
   * @default 5
   */
  heartbeatSeconds: option.integer({ default: 5, min: 1, max: 3_600 }),
  /**
   * Maximum time for one call to the broker, in milliseconds; then the connection counts as dead. Up to six times as
   * long while deliveries arrive. Paused while the broker blocks publishers.
   * @default 10000 (10 s)
   */
  callTimeoutMs: option.integer({ default: 10_000, min: 100, max: 600_000 }),
  /**
   * Maximum payload, in bytes: the broker's `max_message_size`.
   * @default 16777216 (16 MiB)
   */
  maxPayloadBytes: option.integer({ default: 16 * 1024 * 1024, min: 1 }),
  /**
   * Maximum number of messages of one producer that the broker has not confirmed yet.
   * @default 1000
   */
  maxUnconfirmed: option.integer({ default: 1_000, min: 1, max: 100_000 }),
  /**
   * Topics that are existing queues: their native names are names of queues, which are consumed unchanged, not of
   * exchanges.
   * @default []
   */
  queues: option.texts({ default: [], environment: 'AMQP_QUEUES' }),
  /**
   * Bindings of loops to existing exchanges, by topic, unless the loop sets its own `bindings`: `{ orders: ['created',
   * 'paid'] }`, in a variable as JSON.
   * @default {}
   */
  bindings: option.custom<BindingMap>(
    'object or JSON: topic -> list of routing keys or { key, arguments }',
    checkBindingMap,
    {
      default: {},
      environment: 'AMQP_BINDINGS',
    },
  ),
  /**
   * Queues of other systems to which replies may be sent if a message's `reply-to` names them; `*` stands for any
   * characters. A message that names another one is handled but not answered. Queues named like Streamswitch's own, and
   * topics of this service, are never replied to. The default allows direct reply-to and server-named queues; a list
   * replaces it.
   * @default ['amq.rabbitmq.reply-to.*', 'amq.gen-*']
   */
  replyQueues: option.custom<readonly string[]>('list of patterns', checkReplyQueues, {
    default: ['amq.rabbitmq.reply-to.*', 'amq.gen-*'],
    environment: 'AMQP_REPLY_QUEUES',
  }),
  /**
   * Interval at which the members of a group announce themselves, in milliseconds. A member that is silent for four
   * times as long counts as gone.
   * @default 1000 (1 s)
   */
  memberIntervalMs: option.integer({ default: 1_000, min: 50, max: 60_000 }),
}

/** Options of producers, under `amqp`. */
export const amqpProducerFields = {
  /** Routing key of every message to an existing exchange. Default: the message's key, empty if it has none. */
  routingKey: option.custom<string>('string of at most 255 bytes', checkRoutingKey),
}

/** Options of loops, under `amqp`. */
export const amqpConsumerFields = {
  /**
   * Bindings of the group to an existing exchange: routing keys, or patterns of them for topic exchanges, or `{ key,
   * arguments }` for headers exchanges. Default: everything, for topic, fanout and headers exchanges. Bindings created
   * earlier stay.
   */
  bindings: option.custom<readonly Binding[]>('list of routing keys or { key, arguments }', checkBindings),
  /**
   * Requires that an existing queue has no other consumer, so that its messages can be handled in order by key.
   * @default false
   */
  exclusive: option.flag({ default: false }),
}

export type AmqpProducerSettings = OptionValues<typeof amqpProducerFields>
export type AmqpConsumerSettings = OptionValues<typeof amqpConsumerFields>
export type AmqpSettings = OptionValues<typeof amqpFields>
export type AmqpOptions = OptionInput<Omit<typeof amqpFields, keyof TlsOptions>> & TlsOptions
export type AmqpProducerOptions = OptionInput<typeof amqpProducerFields>
export interface AmqpConsumerOptions extends Omit<OptionInput<typeof amqpConsumerFields>, 'bindings'> {
  /** A string is the routing key of a binding. */
  readonly bindings?: readonly (string | Binding)[] | undefined
}

declare module '@streamswitch/core/driver' {
  interface AdapterOptionTypes {
    readonly amqp: { readonly producer: AmqpProducerOptions; readonly consumer: AmqpConsumerOptions }
  }
}

export function optionsFromUrl(url: TransportUrl): Readonly<Record<string, unknown>> {
  return {
    hosts: hostTexts(url),
    tls: url.scheme === 'amqps' ? true : undefined,
    username: url.username,
    password: url.password,
    vhost: url.path === '' ? undefined : url.path,
  }
}

export function environmentUrl(environment: NodeJS.ProcessEnv): string | undefined {
  return environmentText(environment, 'AMQP_URL')
}

/** Returns whether a topic is an existing queue. */
export function isQueue({ queues }: AmqpSettings, { topic, native }: TopicSpec): boolean {
  return native && queues.includes(topic)
}

/** Returns the bindings of a loop to an existing exchange; `undefined` if none are set. */
export function bindingsFor(
  settings: AmqpSettings,
  own: AmqpConsumerSettings,
  { topic }: TopicSpec,
): readonly Binding[] | undefined {
  return own.bindings ?? settings.bindings[topic]
}
