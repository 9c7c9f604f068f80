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

/** Largest payload that a command can hold: the server's default of `proto-max-bulk-len`, less what else an entry has. */
export const LARGEST_PAYLOAD_BYTES = 512 * 1024 * 1024 - 1024

/** When a message counts as accepted. */
export type Durability = 'reply' | 'fsync' | { readonly replicas: number }

/** Options of the Redis transport: `redis://user:password@host:port,replica:port/database?durability=fsync`. */
export const redisFields = {
  /**
   * A server and its replicas, as `host` or `host:port`; whichever is the primary is used. Stand in the URL.
   * @default ['127.0.0.1']
   */
  hosts: hostsOption({ default: ['127.0.0.1'] }),
  /**
   * Number of the database; the URL's path.
   * @default 0
   */
  database: option.integer({ default: 0, min: 0, max: 1_000_000 }),
  /**
   * Whether to connect by TLS; `rediss://` does.
   * @default false
   */
  tls: option.flag({ default: false }),
  /** Name of the ACL user. Left out: `default`. */
  username: option.text({ environment: 'REDIS_USERNAME' }),
  /** Password: text, `{ file }` or a function; read anew at each connect. */
  password: secretOption({ environment: 'REDIS_PASSWORD' }),
  ...tlsFields,
  /**
   * When a message counts as accepted: `reply` when the server has it, `fsync` when its append-only file is on disk, `{ replicas: n }` (in a URL `replicas:n`) when n replicas have it.
   * @default 'reply'
   */
  durability: option.custom<Durability>("'reply', 'fsync' or { replicas }", checkDurability, { default: 'reply' }),
  /**
   * Longest wait for `fsync` or `replicas`, in milliseconds; then the batch is sent again.
   * @default 5000 (5 s)
   */
  durabilityTimeoutMs: option.integer({ default: 5_000, min: 1, max: 600_000 }),
  /**
   * Longest time the server may take to answer a command, in milliseconds; then the connection counts as dead and is replaced.
   * @default 10000 (10 s)
   */
  callTimeoutMs: option.integer({ default: 10_000, min: 10, max: 600_000 }),
  /**
   * Largest payload, in bytes. The server's own limit is `proto-max-bulk-len`, 512 MiB by default.
   * @default 67108864 (64 MiB)
   */
  maxPayloadBytes: option.integer({ default: 64 * 1024 * 1024, min: 1, max: LARGEST_PAYLOAD_BYTES }),
  /**
   * Most bytes of one fetch, about; behind a slow link it brings less. At least one message comes, whatever its size.
   * @default 4194304 (4 MiB)
   */
  maxFetchBytes: option.integer({ default: 4 * 1024 * 1024, min: 1024, max: 256 * 1024 * 1024 }),
  /**
   * How long a member may be silent before others take its partitions, in milliseconds. All members of a group should have the same. At least twice `heartbeatMs`.
   * @default 6000 (6 s)
   */
  leaseMs: option.integer({ default: 6_000, min: 200, max: 600_000 }),
  /**
   * How often a member renews its leases and looks for others, in milliseconds.
   * @default 1500
   */
  heartbeatMs: option.integer({ default: 1_500, min: 50, max: 300_000 }),
  /**
   * With `ordering: 'none'`: how long a member may be silent before others take its messages, in milliseconds. Running handlers keep theirs. With `ordering: 'key'`: the same for consumers of the group that are no loops.
   * @default 30000 (30 s)
   */
  claimIdleMs: option.integer({ default: 30_000, min: 300, max: 86_400_000 }),
  /**
   * How often `retention` is enforced, in milliseconds.
   * @default 5000 (5 s)
   */
  retentionIntervalMs: option.integer({ default: 5_000, min: 100, max: 3_600_000 }),
  /** Retention may drop what a group has not acked once the group has had no live member for this long, in milliseconds. Left out: never. */
  abandonedGroupAfterMs: option.integer({ min: 1_000 }),
}

/** Options of producers, below `redis`. */
export const redisProducerFields = {
  /** Name under which records are recognised by their `sequence` and dropped when they are stored already, across restarts. One live producer may use it at a time. */
  publisherName: option.text(),
}

/** Options of loops, below `redis`: there are none. */
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

/** What a URL says apart from its query. Throws INVALID_ARGUMENT for a path that is no database. */
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

/** Throws INVALID_ARGUMENT for values that are fine alone and not together. */
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
