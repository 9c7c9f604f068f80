import { inspect } from 'node:util'
import { type BrokerHandle, startBroker } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openRedis, plainClient, unique } from './bench.js'

let broker: BrokerHandle

beforeAll(async () => {
  broker = await startBroker('redis')
})

afterAll(async () => {
  await broker.remove()
})

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
    await expect(producer.init()).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      message: expect.stringMatching(/lacks a permission: \+evalsha; .*docs\/rights.md/),
    })
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
