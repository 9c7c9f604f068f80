import { readFileSync } from 'node:fs'
import { rightsCases, startLimitedBroker } from '@streamswitch/testkit/rights'
import { connect } from 'amqplib'
import { expect, onTestFinished, test } from 'vitest'
import amqp from '../src/index.js'
import { openTransport, uniqueName } from './support/member.js'

const RIGHTS = readFileSync(new URL('../../../docs/rights/amqp.json', import.meta.url), 'utf8')

rightsCases({
  adapter: amqp,
  transport: 'amqp',
  rights: RIGHTS,
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
    bookkeeping: ':members:',
    attempts: "write access to exchange 'amq.default'",
    listing: undefined,
    deleting: undefined,
  },
  groupsApart: true,
  withoutDeadLetters: (rules) => rules.replace('"write":"^(@PREFIX@@TOPIC@[.]@GROUP@[.]dlq|', '"write":"^('),
  withoutBookkeeping: { like: 'consumer', change: (rules) => rules.replace('(members:.*|', '(') },
  // What is kept is published by the default exchange.
  withoutAttempts: (rules) => rules.replace('|amq[.]default', ''),
  lister: 'service',
  deleter: 'service',
})

test('topic permissions: an existing topic exchange is sent to and received by its routing key alone', {
  timeout: 120_000,
}, async () => {
  const limited = await startLimitedBroker({ transport: 'amqp', rights: RIGHTS, name: 'app' })
  onTestFinished(() => limited[Symbol.asyncDispose]())
  const exchange = uniqueName('events.v1')
  const connection = await connect(limited.administratorUrl)
  await (await connection.createChannel()).assertExchange(exchange, 'topic', { durable: true })
  await connection.close()
  await limited.grant({ prefix: '', topic: exchange, group: 'billing', key: 'order.paid' })
  const as = (role: string) => {
    const transport = openTransport(limited.url(role), { topics: { events: { name: exchange } } })
    onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
    return transport
  }
  const bound = (key: string) =>
    as('topic-exchange-consumer').consumer('events', { group: 'billing', amqp: { bindings: [key] } })
  const other = bound('order.created')
  other.handle(() => {})
  await expect(other.init()).rejects.toMatchObject({
    code: 'PERMISSION_DENIED',
    message: expect.stringMatching(/read access to topic 'order.created' in exchange .*docs\/rights.md/),
  })
  const loop = bound('order.paid')
  const handled = new Promise((resolve) => loop.handle(({ value }) => resolve(value)))
  const running = loop.run()
  await loop.init()
  const producer = as('topic-exchange-producer').producer('events')
  const refused = producer.send('no', { key: 'order.created' })
  await expect(refused).rejects.toMatchObject({
    code: 'PERMISSION_DENIED',
    message: expect.stringMatching(/write access to topic 'order.created' in exchange .*docs\/rights.md/),
  })
  await producer.send('yes', { key: 'order.paid' })
  expect(await handled).toBe('yes')
  await loop.close()
  await running
})
