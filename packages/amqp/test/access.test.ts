import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type BrokerHandle, findFreePort, startBroker } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { openTransport, uniqueName } from './support/member.js'

let broker: BrokerHandle

beforeAll(async () => {
  broker = await startBroker('rabbitmq')
})

afterAll(() => broker?.remove())

async function rabbitmqctl(...args: string[]): Promise<void> {
  await promisify(execFile)(broker.tool('rabbitmqctl'), args)
}

function opened(url: string, options: Readonly<Record<string, unknown>> = {}) {
  const transport = openTransport(url, options)
  onTestFinished(() => transport.close())
  return transport
}

function urlFor(user: string, password: string, path = ''): string {
  return `amqp://${user}:${password}@127.0.0.1:${broker.ports['amqp']}${path}`
}

test('a missing virtual host, and one that the user may not use, are refused at once', async () => {
  await rabbitmqctl('add_vhost', 'a/b %2f')
  await rabbitmqctl('add_user', 'outsider', 'secret')
  await expect(
    opened(urlFor('guest', 'guest', '/absent'))
      .producer('orders')
      .init(),
  ).rejects.toMatchObject({
    code: 'NOT_FOUND',
    retryable: false,
    message: expect.stringContaining('vhost absent not found'),
  })
  await expect(
    opened(urlFor('outsider', 'secret', '/'))
      .producer('orders')
      .init(),
  ).rejects.toMatchObject({
    code: 'PERMISSION_DENIED',
    retryable: false,
    message: expect.stringContaining("access to vhost '/' refused for user 'outsider'"),
  })
  await rabbitmqctl('set_permissions', '-p', 'a/b %2f', 'guest', '.*', '.*', '.*')
  await opened(urlFor('guest', 'guest', `/${encodeURIComponent('a/b %2f')}`))
    .producer('orders')
    .init()
})

test('a user without permissions is PERMISSION_DENIED', async () => {
  await rabbitmqctl('add_user', 'nobody', 'secret')
  await rabbitmqctl('set_permissions', 'nobody', '^$', '^$', '^$')
  await expect(opened(urlFor('nobody', 'secret')).producer('orders').init()).rejects.toMatchObject({
    code: 'PERMISSION_DENIED',
    retryable: false,
  })
})

test('credentials are asked for at each connect; several hosts are tried in turn', async () => {
  const passwords = ['wrong-secret', 'guest']
  const closed = await findFreePort()
  const transport = opened(`amqp://127.0.0.1:${closed},127.0.0.1:${broker.ports['amqp']}`, {
    password: () => passwords.shift() ?? 'guest',
  })
  await transport.producer(uniqueName('rotated')).init()
  expect(passwords, 'asked for each host').toEqual([])
})
