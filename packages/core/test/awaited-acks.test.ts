import { describe, expect, it } from 'vitest'
import type { PartitionAssignment } from '../src/contract/consumer-driver.js'
import type { Message } from '../src/message.js'
import { deliveriesOf, Script, scriptedTransport, until } from './support/scripted-adapter.js'

const assignment: PartitionAssignment = { topic: 'orders', partition: 0, epoch: 1 }

/** A loop on a transport that commits positions, whose handlers await their acks. A message whose key is `a` ends when told to. */
async function start(concurrency: number) {
  const script = new Script()
  script.settlement = 'cumulative'
  const loop = scriptedTransport(script).consumer<string>('orders', {
    group: 'billing',
    ack: 'manual',
    concurrency,
    retry: { minDelayMs: 0, maxDelayMs: 0 },
  })
  const started: string[] = []
  const outcomes: Record<string, string> = {}
  const ends: { readonly resolve: () => void; readonly reject: (error: Error) => void }[] = []
  loop.handle(async (message: Message<string>) => {
    started.push(message.id)
    if (message.key === 'a') await new Promise<void>((resolve, reject) => ends.push({ resolve, reject }))
    outcomes[message.id] = await message.ack().then(
      () => 'acked',
      (error: { code: string }) => error.code,
    )
  })
  void loop.run()
  await until(() => script.consumers.length > 0)
  const { sink } = script.consumer
  sink.assigned([assignment])
  const deliver = (...names: string[]) => void sink.deliver(assignment, deliveriesOf(assignment, names))
  return { loop, driver: script.consumer, started, outcomes, ends, deliver }
}

describe('handlers that await their acks where positions are committed', () => {
  it('leave their slot to an earlier message that has to be tried again', async () => {
    const { loop, driver, started, outcomes, ends, deliver } = await start(2)
    deliver('a1', 'b1', 'c1')
    await until(() => started.length === 3)
    ends[0]?.reject(new Error('planted'))
    await until(() => started.length === 4)
    expect(started).toEqual(['a1', 'b1', 'c1', 'a1'])
    ends[1]?.resolve()
    await until(() => Object.keys(outcomes).length === 3)
    expect(outcomes).toEqual({ a1: 'acked', b1: 'acked', c1: 'acked' })
    expect(driver.committed.at(-1)).toBe('c1')
    expect(loop.stats()).toMatchObject({ running: 0, unsettled: 0 })
    await loop.close()
  })

  it('keep no handover waiting for an ack that can not come, and are told so', async () => {
    const { loop, driver, outcomes, ends, deliver } = await start(4)
    deliver('a1', 'a2', 'b1')
    await until(() => loop.stats().running === 1)
    let handedOver = false
    const revoked = driver.sink.revoked([assignment], 'graceful', 60_000).then(() => {
      handedOver = true
    })
    await until(() => ends.length === 1)
    expect(handedOver, 'a handler is at work').toBe(false)
    ends[0]?.resolve()
    await revoked
    await until(() => Object.keys(outcomes).length === 2)
    expect(outcomes).toEqual({ a1: 'acked', b1: 'ABORTED' })
    expect(driver.committed).toEqual(['a1'])
    expect(driver.released).toEqual(['a2'])
    expect(loop.stats().running).toBe(0)
    await loop.close()
  })

  it('are told when the partition is lost', async () => {
    const { loop, driver, outcomes, deliver } = await start(4)
    deliver('a1', 'b1')
    await until(() => loop.stats().running === 1)
    await driver.sink.revoked([assignment], 'lost')
    await until(() => outcomes['b1'] !== undefined)
    expect(outcomes['b1']).toBe('ABORTED')
    await loop.close({ timeoutMs: 0 })
  })
})
