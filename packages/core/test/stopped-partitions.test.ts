import { describe, expect, it } from 'vitest'
import type { PartitionAssignment } from '../src/contract/consumer-driver.js'
import { StreamError } from '../src/errors.js'
import { ConsumerRunner } from '../src/index.js'
import { deliveriesOf, Script, scriptedTransport, until } from './support/scripted-adapter.js'

const unreadable = new StreamError("offsets 3 to 9 are compressed with snappy: install 'snappy-wasm'", {
  code: 'UNSUPPORTED',
})

async function start(options: object = {}) {
  const script = new Script()
  const loop = scriptedTransport(script).consumer<string>('orders', { group: 'billing', deadLetter: false, ...options })
  const handled: string[] = []
  const errors: StreamError[] = []
  const events: string[] = []
  loop.handle((message) => void handled.push(message.id))
  loop.on('error', (error) => errors.push(error))
  loop.on('stalled', ({ partition, reason }) => events.push(`stalled ${partition} ${reason}`))
  loop.on('recovered', ({ partition, reason }) => events.push(`recovered ${partition} ${reason}`))
  const runner = new ConsumerRunner([loop], { signals: [] })
  const finished = runner.run()
  finished.catch(() => {})
  await until(() => script.consumers.length > 0)
  const assignments: PartitionAssignment[] = [0, 1].map((partition) => ({ topic: 'orders', partition, epoch: 1 }))
  const { sink } = script.consumer
  sink.assigned(assignments)
  await until(() => runner.state === 'running')
  return {
    runner,
    loop,
    sink,
    assignments: assignments as [PartitionAssignment, PartitionAssignment],
    handled,
    errors,
    events,
    finished,
  }
}

describe('a partition that can not be read', () => {
  it('is reported once, shows in health, and others go on', async () => {
    const { runner, loop, sink, assignments, handled, errors, events } = await start()
    expect((await runner.health()).ready).toBe(true)
    for (let attempt = 0; attempt < 5; attempt += 1)
      expect(sink.partitionStopped(assignments[0], unreadable)).toBe('wait')
    void sink.deliver(assignments[1], deliveriesOf(assignments[1], ['a1', 'b1']))
    await until(() => handled.length === 2)
    expect(errors.map(({ code, message }) => [code, message])).toEqual([
      ['UNSUPPORTED', expect.stringContaining("partition 0 of 'orders' is stopped")],
    ])
    expect(events).toEqual(['stalled 0 stopped'])
    expect(loop.stats().stoppedPartitions).toMatchObject([
      { topic: 'orders', partition: 0, error: { code: 'UNSUPPORTED' } },
    ])
    const health = await runner.health()
    expect(health).toMatchObject({ live: true, ready: false })
    expect(Object.values(health.loops)[0]?.stoppedPartitions).toMatchObject([
      { topic: 'orders', partition: 0, error: { code: 'UNSUPPORTED', message: expect.stringContaining('snappy') } },
    ])
    sink.partitionResumed(assignments[0])
    sink.partitionResumed(assignments[0])
    expect(events).toEqual(['stalled 0 stopped', 'recovered 0 stopped'])
    expect(await runner.health()).toMatchObject({ live: true, ready: true })
    await runner.stop()
  })

  it('is forgotten when it leaves this member', async () => {
    const { runner, loop, sink, assignments } = await start()
    sink.partitionStopped(assignments[0], unreadable)
    await sink.revoked([assignments[0]], 'lost')
    expect(loop.stats().stoppedPartitions).toEqual([])
    await runner.stop()
  })

  it("is left to the driver to skip with errorPolicy 'restart', each range with an event", async () => {
    const { runner, loop, sink, assignments, errors } = await start({ errorPolicy: 'restart' })
    expect(sink.partitionStopped(assignments[0], unreadable)).toBe('skip')
    expect(sink.partitionStopped(assignments[0], unreadable)).toBe('skip')
    expect(errors.map(({ message }) => message)).toEqual([
      expect.stringContaining('offsets 3 to 9'),
      expect.stringContaining('offsets 3 to 9'),
    ])
    expect(loop.stats().stoppedPartitions).toEqual([])
    await runner.stop()
  })

  it("ends the loop with errorPolicy 'stop-runner'", async () => {
    const { finished, sink, assignments } = await start({ errorPolicy: 'stop-runner' })
    sink.partitionStopped(assignments[0], unreadable)
    await expect(finished).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })
})
