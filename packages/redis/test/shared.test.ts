import { describe, expect, test } from 'vitest'
import { openRedis, plainClient, unique, until } from './bench.js'
import { brokerUrl } from './broker-url.js'
import { DriverMember } from './driver-bench.js'

const SHARED = { ordering: 'none' as const }

describe("ordering 'none'", () => {
  test('messages of a member that died are claimed after claimIdleMs, as suspects; a live one keeps its own', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    const options = { claimIdleMs: 400 }
    await client.xadd(topic, '*', 'payload', '1', 'id', 'of-the-dead')
    const dead = await DriverMember.open(brokerUrl, topic, group, options, SHARED)
    await until(() => dead.delivered.length === 1)
    await dead.die()
    const living = await DriverMember.open(brokerUrl, topic, group, options, SHARED)
    await client.xadd(topic, '*', 'payload', '2', 'id', 'of-the-living')
    await until(() => living.delivered.length === 2)
    expect(living.delivered.map(({ id, suspect }) => [id, suspect])).toEqual(
      expect.arrayContaining([
        ['of-the-dead', true],
        ['of-the-living', false],
      ]),
    )
    const other = await DriverMember.open(brokerUrl, topic, group, options, { ...SHARED, member: 'other' })
    await living.driver.stop()
    await client.xadd(topic, '*', 'payload', '3', 'id', 'of-another')
    await until(() => other.delivered.length === 1)
    await other.die()
    // That this one is claimed in its turn shows that the limit has passed for the others, too.
    const heir = await DriverMember.open(brokerUrl, topic, group, options, { ...SHARED, member: 'heir' })
    await until(() => heir.delivered.length > 0)
    expect(heir.ids, 'running work of the living is nobody else’s').toEqual(['of-another'])
  })

  test('what a member gives back goes to another at once, without suspicion', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    const options = { claimIdleMs: 600_000 }
    await client.xadd(topic, '*', 'payload', '1', 'id', 'first')
    const giver = await DriverMember.open(brokerUrl, topic, group, options, SHARED)
    await until(() => giver.delivered.length === 1)
    const [assignment] = giver.held
    if (assignment === undefined) throw new Error('nothing was assigned')
    await giver.driver.stop()
    await giver.driver.release?.(assignment, giver.delivered)
    const taker = await DriverMember.open(brokerUrl, topic, group, options, SHARED)
    await until(() => taker.delivered.length === 1)
    expect(taker.delivered[0]).toMatchObject({ id: 'first', suspect: false })
  })

  test('a message that was deleted while it was pending is forgotten', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    const options = { claimIdleMs: 300 }
    const entry = await client.xadd(topic, '*', 'payload', '1')
    const dead = await DriverMember.open(brokerUrl, topic, group, options, SHARED)
    await until(() => dead.delivered.length === 1)
    await dead.die()
    await client.xdel(topic, String(entry))
    await DriverMember.open(brokerUrl, topic, group, options, SHARED)
    await until(async () => (await client.xpending(topic, group))[0] === 0)
  })

  test('the consumers of loops that closed are removed', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    const transport = openRedis(brokerUrl)
    const loop = transport.consumer(topic, { group, ordering: 'none' })
    const seen: unknown[] = []
    void loop.handle((message) => void seen.push(message.value)).run()
    await loop.init()
    await transport.producer(topic).send(1)
    await until(() => seen.length === 1)
    await loop.close()
    expect(await client.xinfo('CONSUMERS', topic, group)).toEqual([])
  })
})
