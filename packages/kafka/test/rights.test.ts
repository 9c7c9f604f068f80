import { readFileSync } from 'node:fs'
import { rightsCases } from '@streamswitch/testkit/rights'
import kafka from '../src/index.js'

rightsCases({
  adapter: kafka,
  transport: 'kafka',
  rights: readFileSync(new URL('../../../docs/rights/kafka.acls', import.meta.url), 'utf8'),
  existing: 'create',
  says: {
    creating: "CREATE where it is to be created, on topic 'fresh-",
    sending: "lacks WRITE on topic 'orders-",
    receiving: 'lacks READ on the group',
    asking: "on topic 'rights.streamswitch-replies'",
    answering: "on topic 'rights.streamswitch-replies'",
    deadLettering: 'lacks WRITE',
    bookkeeping: 'lacks READ on the group',
    attempts: undefined,
    listing: undefined,
    deleting: 'lacks DELETE on topic',
  },
  groupsApart: true,
  withoutDeadLetters: (rules) => rules.replace('@GROUP@.dlq', '@GROUP@.none'),
  // Offsets and attempts are committed in the group.
  withoutBookkeeping: { like: 'consumer', change: (rules) => rules.replace('--group @PREFIX@', '--group none.') },
  lister: 'service',
  deleter: 'topics',
})
