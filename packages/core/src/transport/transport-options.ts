import { option } from '../options/fields.js'

/** Options of every transport. */
export const transportFields = {
  /** Names this process towards the broker. Left out: `streamswitch-` and a random number. */
  clientId: option.text({ environment: 'STREAMSWITCH_CLIENT_ID' }),
  /** Goes before every name made on the broker: topics, groups, keys, queues. */
  prefix: option.custom<string>(
    'text',
    (raw) =>
      typeof raw === 'string' && /^[a-z0-9._-]{0,50}$/.test(raw)
        ? { value: raw }
        : "must be at most 50 characters of a-z, 0-9, '.', '_' and '-'",
    { default: '', environment: 'STREAMSWITCH_PREFIX' },
  ),
  /** Whether topics and groups are made (`create`), checked (`verify`) or taken as given (`none`). */
  provision: option.choice(['create', 'verify', 'none'], { default: 'create', environment: 'STREAMSWITCH_PROVISION' }),
}
