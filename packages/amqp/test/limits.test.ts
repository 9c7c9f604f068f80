import { startBroker } from '@streamswitch/testkit/brokers'
import { connect } from 'amqplib'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { openTransport, uniqueName } from './support/member.js'
import { OwnBroker } from './support/own-broker.js'

const LONG = 60_000
let own: OwnBroker

beforeAll(async () => {
  own = new OwnBroker(await startBroker('rabbitmq'))
})

afterAll(() => own?.broker.remove())

async function limited(): Promise<OwnBroker> {
  const vhost = new OwnBroker(own.broker, uniqueName('limited'))
  await vhost.makeVhost()
  return vhost
}

async function limit(vhost: OwnBroker, name: string, value: number): Promise<void> {
  await own.rabbitmqctl('set_vhost_limits', '-p', vhostOf(vhost), JSON.stringify({ [name]: value }))
}

function vhostOf(broker: OwnBroker): string {
  return decodeURIComponent(new URL(broker.url).pathname.slice(1))
}

function opened(url: string) {
  const transport = openTransport(url)
  onTestFinished(() => transport.close())
  return transport
}

test(
  "a virtual host's max-connections: RESOURCE_EXHAUSTED with the server's own words, and it goes on when there is room",
  async () => {
    const vhost = await limited()
    const connection = await connect(vhost.url)
    await limit(vhost, 'max-connections', 1)
    const transport = opened(vhost.url)
    const refused = {
      code: 'RESOURCE_EXHAUSTED',
      retryable: true,
      message: expect.stringMatching(/connection limit \(1\) is reached/),
    }
    await expect(transport.admin.topics()).rejects.toMatchObject(refused)
    await expect(transport.producer('orders', { connectTimeoutMs: 1_500 }).init()).rejects.toMatchObject({
      message: expect.stringMatching(/connection limit \(1\) is reached/),
    })
    await connection.close()
    await transport.producer('orders', { connectTimeoutMs: 20_000 }).init()
  },
  LONG,
)

test(
  'a loop over many topics that has too little time to join them says how far it has come',
  async () => {
    const transport = opened((await limited()).url)
    const topics = Array.from({ length: 100 }, () => uniqueName('many'))
    await expect(transport.consumer(topics, { group: 'g', connectTimeoutMs: 500 }).init()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching(/waiting for .* topic \d+ of 100, .* connectTimeoutMs/),
    })
  },
  LONG,
)

test(
  "a virtual host's max-queues: RESOURCE_EXHAUSTED with the server's own words, for topics and groups",
  async () => {
    const vhost = await limited()
    const transport = opened(vhost.url)
    const refused = { code: 'RESOURCE_EXHAUSTED', message: expect.stringMatching(/queue limit in vhost .* is reached/) }
    await transport.producer('orders').init()
    await limit(vhost, 'max-queues', 1)
    await expect(transport.admin.provision(transport.topicSpec('payments'))).rejects.toMatchObject(refused)
    await expect(transport.consumer('orders', { group: 'g', connectTimeoutMs: 1_500 }).init()).rejects.toMatchObject({
      message: refused.message,
    })
  },
  LONG,
)

test(
  "a user's max-connections and max-channels: RESOURCE_EXHAUSTED with the server's own words",
  async () => {
    await own.rabbitmqctl('add_user', 'app', 'secret')
    await own.rabbitmqctl('set_permissions', 'app', '.*', '.*', '.*')
    const url = new URL(own.url)
    url.username = 'app'
    url.password = 'secret'
    const held = await connect(url.href)
    await own.rabbitmqctl('set_user_limits', 'app', '{"max-connections":1}')
    await expect(opened(url.href).admin.topics()).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: expect.stringMatching(/limit \(1\) is reached/),
    })
    await held.close()
    await own.rabbitmqctl('set_user_limits', 'app', '{"max-connections":-1,"max-channels":1}')
    const transport = opened(url.href)
    await expect(
      transport.consumer(uniqueName('many'), { group: 'g', partitions: 3, connectTimeoutMs: 3_000 }).init(),
    ).rejects.toMatchObject({ message: expect.stringMatching(/maximum allowed user limit of \(1\)/) })
  },
  LONG,
)
