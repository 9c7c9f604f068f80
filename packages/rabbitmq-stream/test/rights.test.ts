import { readFileSync } from 'node:fs'
import { rightsCases } from '@streamswitch/testkit/rights'
import rabbitmqStream from '../src/index.js'

rightsCases({
  adapter: rabbitmqStream,
  transport: 'rabbitmq-stream',
  rights: readFileSync(new URL('../../../docs/rights/rabbitmq-stream.json', import.meta.url), 'utf8'),
  existing: 'create',
  says: {
    creating: "lacks configure on 'rights.fresh-",
    sending: "lacks write on 'rights.orders-",
    receiving: "lacks read on 'rights.orders-",
    asking: "lacks read on 'rights.streamswitch-replies'",
    answering: "lacks write on 'rights.streamswitch-replies'",
    deadLettering: "lacks write on 'rights.orders-",
    bookkeeping: "'rights.streamswitch.locks'",
    attempts: undefined,
    listing: 'the tag management',
    deleting: undefined,
  },
  // Offsets are stored in the topic's own streams, for which the right to read suffices.
  groupsApart: false,
  withoutDeadLetters: (rules) => rules.replace('"write":"^(', '"write":"^(none'),
  withoutBookkeeping: {
    like: 'service',
    change: (rules) => rules.replaceAll('"^@PREFIX@"', '"^@PREFIX@(?!streamswitch[.]locks)"'),
  },
  lister: 'service-listing',
  deleter: 'service',
})
