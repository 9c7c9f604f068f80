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
