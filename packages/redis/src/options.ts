import {
  hostsOption,
  hostTexts,
  type OptionInput,
  type OptionValues,
  option,
  StreamError,
  secretOption,
  type TlsOptions,
  type TransportUrl,
  tlsFields,
} from '@streamswitch/core/driver'

/** Maximum payload that a command can hold: the server's default of `proto-max-bulk-len`, less the rest of an entry. */
export const LARGEST_PAYLOAD_BYTES = 512 * 1024 * 1024 - 1024

/** When a message counts as accepted. */
export type Durability = 'reply' | 'fsync' | { readonly replicas: number }

/** Options of the Redis transport: `redis://user:password@host:port,replica:port/database?durability=fsync`. */
export const redisFields = {
  /**
   * A server and its replicas, as `host` or `host:port`; the one that is the primary is used. In a URL they are its
   * hosts.
   * @default ['127.0.0.1']
   */
  hosts: hostsOption({ default: ['127.0.0.1'] }),
  /**
   * Number of the database. In a URL it is the path.
   * @default 0
   */
  database: option.integer({ default: 0, min: 0, max: 1_000_000 }),
  /**
   * Whether to connect by TLS. Set by `rediss://`.
   * @default false
   */
  tls: option.flag({ default: false }),
  /** Name of the ACL user. Default: `default`. */
  username: option.text({ environment: 'REDIS_USERNAME' }),
  /** Password: a string, `{ file }` or a function; read again at each connect. */
  password: secretOption({ environment: 'REDIS_PASSWORD' }),
  ...tlsFields,
  /**
   * When a message counts as accepted: `reply` when the server has it, `fsync` when its append-only file is on disk, `{
   * replicas: n }` (in a URL `replicas:n`) when n replicas have it.
   * @default 'reply'
   */
  durability: option.custom<Durability>("'reply', 'fsync' or { replicas }", checkDurability, { default: 'reply' }),
  /**
   * Maximum wait for `fsync` or `replicas`, in milliseconds; then the batch is sent again.
   * @default 5000 (5 s)
   */
  durabilityTimeoutMs: option.integer({ default: 5_000, min: 1, max: 600_000 }),
  /**
   * Maximum time for the server to answer a command, in milliseconds; then the connection counts as dead and is
   * replaced.
   * @default 10000 (10 s)
   */
  callTimeoutMs: option.integer({ default: 10_000, min: 10, max: 600_000 }),
  /**
   * Maximum payload, in bytes. The server's own limit is `proto-max-bulk-len`, 512 MiB by default.
   * @default 67108864 (64 MiB)
   */
  maxPayloadBytes: option.integer({ default: 64 * 1024 * 1024, min: 1, max: LARGEST_PAYLOAD_BYTES }),
  /**
   * Approximate maximum size of one fetch, in bytes; on a slow link less is fetched. At least one message is fetched,
   * whatever its size.
   * @default 4194304 (4 MiB)
   */
  maxFetchBytes: option.integer({ default: 4 * 1024 * 1024, min: 1024, max: 256 * 1024 * 1024 }),
  /**
   * How long a member may be silent before others take over its partitions, in milliseconds. Should be the same for all
   * members of a group. At least twice `heartbeatMs`.
   * @default 6000 (6 s)
   */
  leaseMs: option.integer({ default: 6_000, min: 200, max: 600_000 }),
  /**
   * How often a member renews its leases and checks for other members, in milliseconds.
   * @default 1500
   */
  heartbeatMs: option.integer({ default: 1_500, min: 50, max: 300_000 }),
  /**
   * With `ordering: 'none'`: how long a member may be silent before others take over its messages, in milliseconds.
   * Running handlers keep theirs. With `ordering: 'key'`: the same for consumers of the group that aren't Streamswitch
   * loops.
   * @default 30000 (30 s)
   */
  claimIdleMs: option.integer({ default: 30_000, min: 300, max: 86_400_000 }),
  /**
   * How often `retention` is enforced, in milliseconds.
   * @default 5000 (5 s)
   */
  retentionIntervalMs: option.integer({ default: 5_000, min: 100, max: 3_600_000 }),
  /**
   * Time without a live member after which retention may drop messages that a group has not acked, in milliseconds.
   * Default: never.
   */
  abandonedGroupAfterMs: option.integer({ min: 1_000 }),
}

/** Options of producers, under `redis`. */
export const redisProducerFields = {
  /**
   * Name under which records are recognised by their `sequence` and dropped if they are already stored, across
   * restarts. Only one live producer may use it at a time.
   */
  publisherName: option.text(),
}

/** Options of loops, under `redis`: none. */
export const redisConsumerFields = {}

export type RedisOptions = OptionInput<Omit<typeof redisFields, keyof TlsOptions>> & TlsOptions
export type RedisProducerOptions = OptionInput<typeof redisProducerFields>

declare module '@streamswitch/core/driver' {
  interface AdapterOptionTypes {
    readonly redis: { readonly producer: RedisProducerOptions; readonly consumer: Readonly<Record<string, never>> }
  }
}
export type RedisSettings = OptionValues<typeof redisFields>
export type RedisProducerSettings = OptionValues<typeof redisProducerFields>

/** Returns the options in a URL apart from its query. Throws INVALID_ARGUMENT for a path that isn't a database number. */
export function optionsFromUrl(url: TransportUrl): Readonly<Record<string, unknown>> {
  if (url.path !== '' && !/^\d+$/.test(url.path)) {
    throw new StreamError(`the path of '${url.redacted}' must be the number of a database, such as /0`, {
      code: 'INVALID_ARGUMENT',
      transport: 'redis',
      operation: 'configure',
    })
  }
  return {
    hosts: hostTexts(url),
    username: url.username,
    password: url.password,
    database: url.path === '' ? undefined : url.path,
    tls: url.scheme === 'rediss' ? true : undefined,
  }
}

/** Throws INVALID_ARGUMENT for options that contradict each other. */
export function checkTogether(options: RedisSettings): void {
  if (options.leaseMs >= 2 * options.heartbeatMs) return
  throw new StreamError(
    `leaseMs (${options.leaseMs}) must be at least twice heartbeatMs (${options.heartbeatMs}): a late heartbeat would cost the partitions`,
    {
      code: 'INVALID_ARGUMENT',
      transport: 'redis',
      operation: 'configure',
    },
  )
}

function checkDurability(raw: unknown): { readonly value: Durability } | string {
  const expected = "must be 'reply', 'fsync' or { replicas: n } (in a URL 'replicas:n') with n of at least 1"
  if (raw === 'reply' || raw === 'fsync') return { value: raw }
  const text = typeof raw === 'string' ? /^replicas:(\d{1,4})$/.exec(raw) : null
  const replicas: unknown = text === null ? (raw as { readonly replicas?: unknown } | null)?.replicas : Number(text[1])
  return typeof replicas === 'number' && Number.isSafeInteger(replicas) && replicas >= 1
    ? { value: { replicas } }
    : expected
}
