import { checkNameMap, type NameMap } from '../native-names/name-map.js'
import { option } from '../options/fields.js'

/** Options of every transport. */
export const transportFields = {
  /** Client name reported to the broker. Default: `streamswitch-` and a random number. */
  clientId: option.text({ environment: 'STREAMSWITCH_CLIENT_ID' }),
  /**
   * Prefix for every topic, group, key and queue created on the broker.
   * @default ''
   */
  prefix: option.custom<string>(
    'string',
    (raw) =>
      typeof raw === 'string' && /^[a-z0-9._-]{0,50}$/.test(raw)
        ? { value: raw }
        : "must be at most 50 characters of a-z, 0-9, '.', '_' and '-'",
    { default: '', environment: 'STREAMSWITCH_PREFIX' },
  ),
  /**
   * Whether topics and groups are created (`create`), only checked (`verify`) or assumed to exist (`none`). Default:
   * `create`; topics with a native name are only checked unless `create` is set.
   */
  provision: option.choice(['create', 'verify', 'none'], { environment: 'STREAMSWITCH_PROVISION' }),
  /**
   * Native names of existing topics on the broker, used unchanged, without prefix: `{ orders: { name: 'OrderEvents' }
   * }`; in a variable or URL `orders=OrderEvents,audit=app:audit`, with `,`, `=` and `%` of a name percent-encoded.
   * @default {}
   */
  topics: option.custom<NameMap>('object or string: name -> native name', checkNameMap, {
    default: {},
    environment: 'STREAMSWITCH_TOPIC_NAMES',
  }),
  /**
   * Native names of groups, in the same way: `{ billing: { name: 'BillingService' } }`.
   * @default {}
   */
  groups: option.custom<NameMap>('object or string: name -> native name', checkNameMap, {
    default: {},
    environment: 'STREAMSWITCH_GROUP_NAMES',
  }),
  /**
   * Time after which a reply in flight is dropped, and after which what a killed caller has created on the broker is
   * removed, in milliseconds.
   * @default 300000 (5 min)
   */
  replyTtlMs: option.integer({
    default: 300_000,
    min: 15_000,
    max: 86_400_000,
    environment: 'STREAMSWITCH_REPLY_TTL_MS',
  }),
}
