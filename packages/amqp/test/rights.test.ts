import { readFileSync } from 'node:fs'
import { rightsCases } from '@streamswitch/testkit/rights'
import amqp from '../src/index.js'

rightsCases({
  adapter: amqp,
  transport: 'amqp',
  rights: readFileSync(new URL('../../../docs/rights/amqp.json', import.meta.url), 'utf8'),
  options: { memberIntervalMs: 200 },
  // Declaring what exists needs the right to configure it.
  existing: 'verify',
  says: {
    creating: "read access to queue 'rights.fresh-",
    sending: "write access to exchange 'rights.orders-",
    receiving: "configure access to queue 'rights.orders-",
    asking: "configure access to queue 'rights.streamswitch-replies:",
    // Answers and what is kept beside the messages take the same way, the default exchange.
    answering: undefined,
    deadLettering: 'write access to exchange',
    bookkeeping: ":members:",
    listing: undefined,
    deleting: undefined,
  },
  groupsApart: true,
  withoutDeadLetters: (rules) => rules.replace('"write":"^(@PREFIX@@TOPIC@[.]@GROUP@[.]dlq|', '"write":"^('),
  withoutBookkeeping: { like: 'consumer', change: (rules) => rules.replace('(members:.*|', '(') },
  lister: 'service',
  deleter: 'service',
})
