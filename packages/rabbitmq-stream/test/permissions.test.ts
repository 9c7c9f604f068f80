import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type BrokerHandle, startBroker } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openStream, unique } from './support/bench.js'

let broker: BrokerHandle

const rabbitmqctl = (...args: string[]): Promise<unknown> => promisify(execFile)(broker.tool('rabbitmqctl'), args)

/** A user with these permissions (configure, write, read), and the URL it connects with. */
async function user(name: string, ...permissions: [string, string, string]): Promise<string> {
  await rabbitmqctl('add_user', name, 'pässwörd')
  await rabbitmqctl('set_permissions', name, ...permissions)
  return `rabbitmq-stream://${name}:${encodeURIComponent('pässwörd')}@127.0.0.1:${broker.ports['stream']}`
}

beforeAll(async () => {
  broker = await startBroker('rabbitmq')
})

afterAll(async () => {
  await broker.remove()
})

test("a virtual host's max-queues is RESOURCE_EXHAUSTED, for topics of one partition and of several", async () => {
  const vhost = unique('limited')
  const limit = (queues: number) =>
    rabbitmqctl('set_vhost_limits', '-p', vhost, JSON.stringify({ 'max-queues': queues }))
  await rabbitmqctl('add_vhost', vhost)
  await rabbitmqctl('set_permissions', '-p', vhost, 'guest', '.*', '.*', '.*')
  const transport = openStream({}, `rabbitmq-stream://127.0.0.1:${broker.ports['stream']}/${vhost}`)
  const provision = (topic: string, partitions?: number) =>
    transport.admin.provision(transport.topicSpec(topic, { partitions }))
  const refused = { code: 'RESOURCE_EXHAUSTED', message: expect.stringContaining('list_vhost_limits') }
  await limit(0)
  for (const partitions of [1, 3]) await expect(provision(unique('topic'), partitions)).rejects.toMatchObject(refused)
  // With the stream of locks there: the super stream itself is refused.
  await limit(-1)
  await provision(unique('topic'), 2)
  await limit(0)
  await expect(provision(unique('topic'), 3)).rejects.toMatchObject(refused)
})

describe('permissions', () => {
  test('what is not allowed is PERMISSION_DENIED at once; what is listed as needed suffices', async () => {
    const topic = unique('topic')
    const owner = openStream({}, broker.urls['rabbitmq-stream'])
    await owner.admin.provision(owner.topicSpec(topic))
    const stranger = openStream({}, await user('stranger', '^$', '^$', '^$'))
    await expect(stranger.producer(unique('topic')).init()).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    await expect(stranger.producer(topic).init()).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    const forbidden = stranger.consumer(topic, { group: 'strangers' })
    forbidden.handle(() => {})
    await expect(forbidden.init()).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    const sender = openStream({}, await user('sender', '^$', `^${topic}$`, '^$'))
    await sender.producer(topic).send('allowed')
    const byKey = { 'rabbitmq-stream': { bindingKeys: ['a', 'b'] } }
    await owner.producer(`${topic}-keyed`, byKey).init()
    const keyed = openStream({}, await user('keyed', '^$', `^${topic}-keyed`, '^$'))
    await keyed.producer(`${topic}-keyed`, byKey).send('allowed', { key: 'a' })
    const reader = openStream({}, await user('reader', '^$', '^$', `^${topic}$`))
    const loop = reader.consumer(topic, { group: 'readers' })
    const handled = new Promise((resolve) => loop.handle((message) => resolve(message.value)))
    const run = loop.run()
    expect(await handled).toBe('allowed')
    await loop.close()
    await run
  })
})
