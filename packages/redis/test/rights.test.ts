import { readFileSync } from 'node:fs'
import { rightsCases } from '@streamswitch/testkit/rights'
import redis from '../src/index.js'

rightsCases({
  adapter: redis,
  transport: 'redis',
  rights: readFileSync(new URL('../../../docs/rights/redis.acl', import.meta.url), 'utf8'),
  existing: 'create',
  says: {
    creating: '~ss:{rights.fresh-',
    sending: '~rights.orders-',
    receiving: '+client|id',
    asking: '+multi',
    answering: '~rights.streamswitch-replies:',
    deadLettering: '.dlq',
    bookkeeping: ':lease:rights.billing-',
    listing: '+scan',
    deleting: '+scan',
  },
  // A group's state is in keys of its own.
  groupsApart: true,
  withoutDeadLetters: (rules) => rules.replaceAll('@GROUP@.dlq', '@GROUP@.none'),
  withoutBookkeeping: { like: 'consumer', change: (rules) => rules.replaceAll(':lease:', ':none:') },
  lister: 'service-listing',
  deleter: 'topics',
})
