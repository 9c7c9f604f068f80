import { checkNameMap, type NameMap } from '../native-names/name-map.js'
import { option } from '../options/fields.js'

/** Options of every transport. */
export const transportFields = {
  /** Names this process towards the broker. Left out: `streamswitch-` and a random number. */
  clientId: option.text({ environment: 'STREAMSWITCH_CLIENT_ID' }),
  /**
   * Goes before every name made on the broker: topics, groups, keys, queues.
   * @default ''
   */
  prefix: option.custom<string>(
    'text',
    (raw) =>
      typeof raw === 'string' && /^[a-z0-9._-]{0,50}$/.test(raw)
        ? { value: raw }
        : "must be at most 50 characters of a-z, 0-9, '.', '_' and '-'",
    { default: '', environment: 'STREAMSWITCH_PREFIX' },
  ),
  /** Whether topics and groups are made (`create`), checked (`verify`) or taken as given (`none`). Default: `create`; topics with a native name are checked unless `create` is given. */
  provision: option.choice(['create', 'verify', 'none'], { environment: 'STREAMSWITCH_PROVISION' }),
  /**
   * Native names of topics that exist on the broker, used as they are, without prefix: `{ orders: { name: 'OrderEvents' } }`; in a variable or URL `orders=OrderEvents,audit=app:audit`, with `,`, `=` and `%` of a name percent-encoded.
   * @default {}
   */
  topics: option.custom<NameMap>('object or text: name -> native name', checkNameMap, {
    default: {},
    environment: 'STREAMSWITCH_TOPIC_NAMES',
  }),
  /**
   * Native names of groups, in the same way: `{ billing: { name: 'BillingService' } }`.
   * @default {}
   */
  groups: option.custom<NameMap>('object or text: name -> native name', checkNameMap, {
    default: {},
    environment: 'STREAMSWITCH_GROUP_NAMES',
  }),
  /**
   * How long a reply may be on its way before it is dropped, and how long what a killed caller leaves on the broker may stay, in milliseconds.
   * @default 300000 (5 min)
   */
  replyTtlMs: option.integer({
    default: 300_000,
    min: 15_000,
    max: 86_400_000,
    environment: 'STREAMSWITCH_REPLY_TTL_MS',
  }),
}
