import {
  environmentText,
  hostTexts,
  type OptionInput,
  type OptionValues,
  option,
  secretOption,
  type TransportUrl,
  tlsFields,
} from '@streamswitch/core/driver'

/** Options of the AMQP transport: `amqp://user:password@host:5672,other:5672/vhost?heartbeatSeconds=10`. */
export const amqpFields = {
  ...tlsFields,
  /** Brokers of one cluster, as `host` or `host:port`, tried in turn. Stand in the URL. */
  hosts: option.texts({ default: ['127.0.0.1'] }),
  /** Whether to connect by TLS. Set by `amqps://`. */
  tls: option.flag({ default: false }),
  /** User name. */
  username: option.text({ default: 'guest', environment: 'AMQP_USERNAME' }),
  /** Password: a text, `{ file }` or a function; files and functions are asked again at each connect. Left out: `guest` for the user `guest`. */
  password: secretOption({ environment: 'AMQP_PASSWORD' }),
  /** Virtual host. Stands in the URL as its path. */
  vhost: option.text({ default: '/', environment: 'AMQP_VHOST' }),
  /** Seconds between heartbeats; a silent peer is given up after two to three of them. The broker may ask for less. */
  heartbeatSeconds: option.integer({ default: 5, min: 1, max: 3_600 }),
  /** Longest time for one call to the broker, in milliseconds; then the connection counts as dead. Up to six times as long while deliveries arrive. Doesn't run while the broker blocks publishers. */
  callTimeoutMs: option.integer({ default: 10_000, min: 100, max: 600_000 }),
  /** Largest payload, in bytes: the broker's `max_message_size`. */
  maxPayloadBytes: option.integer({ default: 16 * 1024 * 1024, min: 1 }),
  /** Most messages of one producer that the broker has not confirmed yet. */
  maxUnconfirmed: option.integer({ default: 1_000, min: 1, max: 100_000 }),
  /** How often the members of a group tell each other that they are there, in milliseconds. Silent for four times as long, a member counts as gone. */
  memberIntervalMs: option.integer({ default: 1_000, min: 50, max: 60_000 }),
}

/** Options of producers, below `amqp`: there are none. */
export const amqpProducerFields = {}

/** Options of loops, below `amqp`: there are none. */
export const amqpConsumerFields = {}

export type AmqpSettings = OptionValues<typeof amqpFields>
export type AmqpOptions = OptionInput<typeof amqpFields>

declare module '@streamswitch/core/driver' {
  interface AdapterOptionTypes {
    readonly amqp: {
      readonly producer: Readonly<Record<string, never>>
      readonly consumer: Readonly<Record<string, never>>
    }
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
