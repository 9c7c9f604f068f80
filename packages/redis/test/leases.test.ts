import { describe, expect, test } from 'vitest'
import { ENSURE_GROUP, GUARD_READ, HEARTBEAT, STRAY, TAKE } from '../src/group-scripts.js'
import type { Script } from '../src/script.js'
import { firstHandlings, openRedis, plainClient, type Seen, seenOf, unique, until } from './bench.js'
import { brokerUrl } from './broker-url.js'
import { DriverMember } from './driver-bench.js'

const QUICK = { leaseMs: 600, heartbeatMs: 100 }
/** A member with these hears by itself of nothing: as if it had been stopped. */
const PAUSED = { leaseMs: 600_000, heartbeatMs: 300_000 }

/** Another member takes the lease behind the back of the one that has it. */
async function steal(topic: string, group: string): Promise<void> {
  await plainClient(brokerUrl).hset(`ss:{${topic}}:lease:${group}`, 'token', '1:thief', 'owner', 'thief', 'until', '1')
}

describe('partition leases', () => {
  test('a member past its lease can neither ack nor note attempts, and hears of it', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    const stale = await DriverMember.open(brokerUrl, topic, group, PAUSED)
    await client.xadd(topic, '*', 'payload', '1', 'id', 'first')
    await until(() => stale.delivered.length === 1)
    await steal(topic, group)
    const [assignment, delivery] = [stale.held[0], stale.delivered[0]]
    if (assignment === undefined || delivery === undefined) throw new Error('nothing was delivered')
    await expect(stale.driver.ack?.(assignment, [delivery])).rejects.toMatchObject({ code: 'ABORTED' })
    expect(stale.revocations).toEqual([{ partition: 0, how: 'lost' }])
    await expect(stale.driver.attempts?.starting(assignment, delivery, 1)).rejects.toMatchObject({ code: 'ABORTED' })
    expect((await client.xpending(topic, group))[0]).toBe(1)
    // Alive, it might take the partition again before the other does.
    await stale.die()
    const owner = await DriverMember.open(brokerUrl, topic, group, QUICK)
    await until(() => owner.delivered.length === 1)
    expect(owner.held[0]?.epoch).toBeGreaterThan(assignment.epoch)
  })

  test('what a member past its lease reads is delivered by the owner alone', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    const stale = await DriverMember.open(brokerUrl, topic, group, PAUSED)
    await steal(topic, group)
    await client.xadd(topic, '*', 'payload', '1', 'id', 'first')
    await until(() => stale.revocations.length === 1)
    await stale.die()
    const owner = await DriverMember.open(brokerUrl, topic, group, QUICK)
    await until(() => owner.delivered.length === 1)
    expect(stale.delivered).toEqual([])
  })

  test('a member past its lease is given nothing more of what is pending', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    await client.xgroup('CREATE', topic, group, '0', 'MKSTREAM')
    for (const id of ['first', 'second']) await client.xadd(topic, '*', 'payload', '1', 'id', id)
    await client.xreadgroup('GROUP', group, 'streamswitch', 'COUNT', 2, 'STREAMS', topic, '>')
    let goOn = (): void => {}
    const busy = new Promise<void>((resolve) => {
      goOn = resolve
    })
    // While nothing is known of their size, messages are fetched one by one.
    const stale = await DriverMember.open(brokerUrl, topic, group, PAUSED, {}, busy)
    await until(() => stale.delivered.length === 1)
    await steal(topic, group)
    goOn()
    await until(() => stale.revocations.length + stale.delivered.length >= 2)
    expect(stale.ids).toEqual(['first'])
    expect(stale.revocations).toEqual([{ partition: 0, how: 'lost' }])
  })

  test('a member that is to leave takes no partition again', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    let goOn = (): void => {}
    const member = await DriverMember.open(brokerUrl, topic, group, PAUSED)
    member.busy = new Promise<void>((resolve) => {
      goOn = resolve
    })
    const lease = `ss:{${topic}}:lease:${group}`
    const epoch = await client.hget(lease, 'epoch')
    await client.multi().hset(lease, 'stray', '1').xadd(topic, '*', 'payload', '1', 'id', 'first').exec()
    await until(() => member.revocations.length === 1)
    await member.driver.stop()
    goOn()
    await until(async () => (await client.hget(lease, 'owner')) === '' || (await client.hget(lease, 'epoch')) !== epoch)
    expect(await client.hget(lease, 'epoch')).toBe(epoch)
  })

  test('a group that others have recreated is at no position that its owner had before', async () => {
    const client = plainClient(brokerUrl)
    const [stream, lease] = [unique('stream'), unique('lease')]
    const run = ({ source }: Script, ...args: (string | number)[]): Promise<unknown> =>
      client.eval(source, 2, stream, lease, ...args)
    const read = (): Promise<unknown> =>
      client.xreadgroup('GROUP', 'g', 'streamswitch', 'COUNT', 2, 'STREAMS', stream, '>')
    const ensure = (): Promise<unknown> => run(ENSURE_GROUP, 'g', '0-0', 'create', '', 1, '')
    await ensure()
    const [epoch] = (await run(TAKE, 'g', 'owner', 60_000, 1)) as [string]
    const token = `${epoch}:owner`
    const beat = (): Promise<unknown> => run(HEARTBEAT, 'g', 'owner', 60_000, 'streamswitch', 30_000, token, '2-0')
    for (const id of ['1-0', '2-0']) await client.xadd(stream, id, 'payload', '1')
    await read()
    await beat()
    await client.xgroup('DESTROY', stream, 'g')
    expect(await ensure()).toBe('recreated')
    await beat()
    // Both are in the owner's hands, and neither is pending.
    expect(await client.hget(lease, 'position')).toBe('0-18446744073709551615')
    expect(await run(GUARD_READ, token), 'the owner begins again').toBe(STRAY)
    await read()
    await client.xack(stream, 'g', '1-0', '2-0')
    await beat()
    expect(await client.hget(lease, 'position')).toBe('2-0')
    await client.del(stream, lease)
  })

  test('the owner goes back for what an earlier one read after losing the lease, before anything newer', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    const owner = await DriverMember.open(brokerUrl, topic, group, PAUSED)
    // The earlier owner's read, as its transaction leaves the server.
    await client
      .multi()
      .hset(`ss:{${topic}}:lease:${group}`, 'stray', '1')
      .xadd(topic, '*', 'payload', '1', 'id', 'first')
      .xadd(topic, '*', 'payload', '2', 'id', 'second')
      .xreadgroup('GROUP', group, 'streamswitch', 'COUNT', 10, 'STREAMS', topic, '>')
      .xadd(topic, '*', 'payload', '3', 'id', 'third')
      .exec()
    await until(() => owner.delivered.length === 3)
    expect(owner.ids).toEqual(['first', 'second', 'third'])
    expect(owner.delivered.map((delivery) => delivery.suspect)).toEqual([false, false, false])
  })

  test('entries of a member that died are suspect and keep their attempts; those of one that left are not', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    await client.xadd(topic, '*', 'payload', '1', 'id', 'first')
    await client.xadd(topic, '*', 'payload', '2', 'id', 'second')
    const dead = await DriverMember.open(brokerUrl, topic, group, QUICK)
    await until(() => dead.delivered.length === 2)
    const [first] = dead.delivered
    if (first === undefined || dead.held[0] === undefined) throw new Error('nothing was delivered')
    await dead.driver.attempts?.starting(dead.held[0], first, 7)
    await dead.die()
    const heir = await DriverMember.open(brokerUrl, topic, group, QUICK)
    await until(() => heir.delivered.length === 2)
    expect(heir.delivered.map(({ id, attempt, suspect }) => [id, attempt, suspect])).toEqual([
      ['first', 3, true],
      ['second', 0, true],
    ])
    await client.xadd(topic, '*', 'payload', '3', 'id', 'third')
    await until(() => heir.delivered.length === 3)
    expect(heir.delivered[2]?.suspect).toBe(false)
    const [assignment, suspect] = [heir.held[0], heir.delivered[0]]
    if (assignment === undefined || suspect === undefined) throw new Error('nothing was delivered')
    await heir.driver.ack?.(assignment, [suspect])
    expect(await client.exists(`ss:{${topic}}:attempts:${group}`), 'forgotten with the ack').toBe(0)
    await heir.driver.close()
    const next = await DriverMember.open(brokerUrl, topic, group, QUICK)
    await until(() => next.delivered.length === 2)
    expect(
      next.delivered.map(({ id, suspect: is }) => [id, is]),
      'the second was never at work here',
    ).toEqual([
      ['second', true],
      ['third', false],
    ])
  })

  test('what was at work when a lease was given back is no suspect to the next owner, and is one again after its death', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(brokerUrl)
    for (const id of ['outlived', 'waiting']) await client.xadd(topic, '*', 'payload', '1', 'id', id)
    const suspects = async (end: 'die' | 'close'): Promise<(readonly [string, boolean])[]> => {
      const member = await DriverMember.open(brokerUrl, topic, group, QUICK)
      await until(() => member.delivered.length === 2)
      const [outlived] = member.delivered
      if (outlived === undefined || member.held[0] === undefined) throw new Error('nothing was delivered')
      const found = member.delivered.map(({ id, suspect }) => [id, suspect] as const)
      await member.driver.attempts?.starting(member.held[0], outlived, 1)
      if (end === 'close') await member.driver.attempts?.failed(member.held[0], outlived, 0)
      await (end === 'die' ? member.die() : member.driver.close())
      return found
    }
    const is = (outlived: boolean, waiting: boolean) => [
      ['outlived', outlived],
      ['waiting', waiting],
    ]
    expect(await suspects('die')).toEqual(is(false, false))
    expect(await suspects('close')).toEqual(is(true, true))
    expect(await suspects('die')).toEqual(is(false, true))
    expect(await suspects('die')).toEqual(is(true, true))
  })

  test('three loops share, join, leave and keep the order of every key', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openRedis(brokerUrl, QUICK)
    const producer = transport.producer<number>(topic, { partitions: 8 })
    await producer.init()
    const seen: Seen[] = []
    const loops = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const loop = transport.consumer(topic, { group, concurrency: 8 })
        loop.handle(async (message) => {
          await new Promise((resolve) => setImmediate(resolve))
          seen.push(seenOf(message))
        })
        void loop.run()
        await loop.init()
        return loop
      }),
    )
    const sends: Promise<unknown>[] = []
    for (let number = 0; number < 100; number += 1)
      for (let key = 0; key < 32; key += 1) sends.push(producer.send(number, { key: `key-${key}` }))
    await until(() => seen.length > 500)
    await loops[0]?.close()
    await Promise.all(sends)
    await until(() => new Set(seen.map((one) => one.id)).size === 3_200)
    const expected = Array.from({ length: 100 }, (_, number) => number)
    for (const [key, numbers] of firstHandlings(seen)) expect(numbers, key).toEqual(expected)
    await until(() => loops.slice(1).every((loop) => loop.assignments.length === 4))
    // The last handlers have ended; their acks may still be on their way.
    const lag = async (): Promise<number | undefined> => (await loops[1]?.lag())?.reduce((sum, one) => sum + one.lag, 0)
    await expect.poll(lag, { timeout: 5_000 }).toBe(0)
  })
})
