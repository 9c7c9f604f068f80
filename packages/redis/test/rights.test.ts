import { readFileSync } from 'node:fs'
import { rightsCases, startLimitedBroker } from '@streamswitch/testkit/rights'
import { expect, onTestFinished, test } from 'vitest'
import redis from '../src/index.js'
import { openRedis, plainClient, unique, until } from './bench.js'

const RIGHTS = readFileSync(new URL('../../../docs/rights/redis.acl', import.meta.url), 'utf8')

rightsCases({
  adapter: redis,
  transport: 'redis',
  rights: RIGHTS,
  existing: 'create',
  says: {
    creating: '~ss:{rights.fresh-',
    sending: '~rights.orders-',
    receiving: '+client|id',
    asking: '+multi',
    answering: '~rights.streamswitch-replies:',
    deadLettering: '.dlq',
    bookkeeping: ':lease:rights.billing-',
    attempts: ':attempts:rights.billing-',
    listing: '+scan',
    deleting: '+scan',
  },
  // A group's state is in keys of its own.
  groupsApart: true,
  withoutDeadLetters: (rules) => rules.replaceAll('@GROUP@.dlq', '@GROUP@.none'),
  withoutBookkeeping: { like: 'consumer', change: (rules) => rules.replaceAll(':lease:', ':none:') },
  withoutAttempts: (rules) => rules.replaceAll(':attempts:', ':none:'),
  lister: 'service-listing',
  deleter: 'topics',
})

test('a service has what both orderings, retention, lag and seek need; durability needs more, which is named', {
  timeout: 60_000,
}, async () => {
  const limited = await startLimitedBroker({ transport: 'redis', rights: RIGHTS, name: 'app' })
  onTestFinished(() => limited[Symbol.asyncDispose]())
  await limited.grant({ prefix: 'app.' })
  const options = { prefix: 'app.', leaseMs: 600, heartbeatMs: 100, claimIdleMs: 300, retentionIntervalMs: 100 }
  const topic = unique('topic')
  const producer = openRedis(limited.url('service'), options).producer(topic, { partitions: 2 })
  await producer.init()
  for (const ordering of ['key', 'none'] as const) {
    const receiving = openRedis(limited.url('service'), options)
    const loop = receiving.consumer(topic, {
      group: unique('group'),
      ordering,
      retention: { maxBytes: 10_000_000 },
      retry: { minDelayMs: 0 },
    })
    const seen: unknown[] = []
    loop.handle((message) => {
      if (message.attempt === 1) throw new Error('once more')
      seen.push(message.value)
    })
    const running = loop.run()
    await loop.init()
    await producer.send(ordering, { key: 'k' })
    await until(() => seen.includes(ordering))
    await loop.lag()
    await loop.seek('earliest')
    await until(() => seen.filter((value) => value === ordering).length === 2)
    await loop.close()
    await running
    expect(receiving.lines.filter((line) => line.includes('PERMISSION_DENIED'))).toEqual([])
  }
  for (const [durability, command] of [
    ['fsync', 'waitaof'],
    ['replicas:1', 'wait'],
  ] as const) {
    const durable = openRedis(limited.url('service'), { prefix: 'app.', durability }).producer(topic)
    await expect(durable.send(1), durability).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      message: expect.stringMatching(new RegExp(`\\+${command}; .*docs/rights.md`)),
    })
  }
  await plainClient(limited.administratorUrl).acl('SETUSER', 'app-service', '+waitaof')
  await openRedis(limited.url('service'), { prefix: 'app.', durability: 'fsync' }).producer(topic).send(1)
})
