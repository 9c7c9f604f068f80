import { inspect } from 'node:util'
import { type BrokerHandle, startBroker } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openRedis, plainClient, unique, until } from './bench.js'

let broker: BrokerHandle

beforeAll(async () => {
  broker = await startBroker('redis')
})

afterAll(async () => {
  await broker.remove()
})

/** As docs/transports/redis.md gives them. */
const PRODUCE =
  '+auth +select +ping +info +client|setname +eval +evalsha +type +exists +hget +hmget +hset +get +set +pexpire +xadd +wait +waitaof'
const CONSUME =
  '+auth +select +ping +info +client|setname +client|id +client|unblock +eval +evalsha +time +type +exists +hget +hmget +hset +hdel +get +set +del +zadd +zrem +zremrangebyscore +zrange +pexpire +multi +exec +xadd +xlen +xread +xreadgroup +xack +xpending +xclaim +xautoclaim +xrange +xrevrange +xtrim +xinfo|stream +xinfo|groups +xinfo|consumers +xgroup|create +xgroup|setid +xgroup|delconsumer +memory|usage'

function urlFor(user: string, password: string): string {
  return broker.url.replace('redis://', `redis://${user}:${password}@`)
}

describe('access', () => {
  test('a wrong password is UNAUTHENTICATED, and in no error', async () => {
    const client = plainClient(broker.url)
    await client.acl('SETUSER', 'somebody', 'on', '>right', '~*', '+@all')
    const producer = openRedis(urlFor('somebody', 'hunter2')).producer(unique('topic'))
    const error = await producer.init().catch((failure: unknown) => failure)
    expect(error).toMatchObject({ code: 'UNAUTHENTICATED', retryable: false })
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('hunter2')
  })

  test('a user without rights is PERMISSION_DENIED', async () => {
    const client = plainClient(broker.url)
    await client.acl('SETUSER', 'reader', 'on', '>secret', '~*', '+@read', '+@connection', '+info')
    const producer = openRedis(urlFor('reader', 'secret')).producer(unique('topic'))
    await expect(producer.init()).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
  })

  test('the documented rights are enough, below the prefix alone', async () => {
    const client = plainClient(broker.url)
    await client.acl(
      'SETUSER',
      'sender',
      'on',
      '>secret',
      'resetkeys',
      '~app.*',
      '~ss:{app.*',
      'nocommands',
      ...PRODUCE.split(' '),
    )
    await client.acl(
      'SETUSER',
      'receiver',
      'on',
      '>secret',
      'resetkeys',
      '~app.*',
      '~ss:{app.*',
      'nocommands',
      ...CONSUME.split(' '),
    )
    const topic = unique('topic')
    const options = { prefix: 'app.', leaseMs: 600, heartbeatMs: 100, claimIdleMs: 300, retentionIntervalMs: 100 }
    const producer = openRedis(urlFor('sender', 'secret'), options).producer(topic, { partitions: 2 })
    await producer.init()
    for (const ordering of ['key', 'none'] as const) {
      const receiving = openRedis(urlFor('receiver', 'secret'), options)
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
      expect(receiving.lines.filter((line) => line.includes('permission'))).toEqual([])
    }
  })

  test('a password from a function is asked for at each connect', async () => {
    const client = plainClient(broker.url)
    await client.acl('SETUSER', 'rotating', 'on', '>one', '~*', '+@all')
    let asked = 0
    const password = (): string => {
      asked += 1
      return asked === 1 ? 'one' : 'two'
    }
    const producer = openRedis(broker.url, { username: 'rotating', password }).producer(unique('topic'))
    await producer.send(1)
    await client.acl('SETUSER', 'rotating', 'resetpass', '>two')
    await client.client('KILL', 'USER', 'rotating')
    await producer.send(2)
    expect(asked).toBeGreaterThan(1)
  })
})
