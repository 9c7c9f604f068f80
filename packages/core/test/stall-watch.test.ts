import { describe, expect, it, onTestFinished } from 'vitest'
import type { ConsumerEvents } from '../src/consumer/consumer-events.js'
import type { PartitionAssignment } from '../src/contract/consumer-driver.js'
import { deliveriesOf, Script, scriptedTransport, until } from './support/scripted-adapter.js'

/** A member of one partition whose broker says that `backlog` messages are undelivered. */
async function start(options: object = {}) {
  const script = new Script()
  const told = { backlog: 0, looks: 0, answers: true }
  let unsettled = (): number => 0
  script.lag = async () => {
    told.looks += 1
    if (!told.answers) await new Promise(() => {})
    return [{ topic: 'orders', partition: 0, lag: told.backlog + unsettled() }]
  }
  const transport = scriptedTransport(script)
  const loop = transport.consumer('orders', { group: 'billing', deadLetter: false, stallTimeoutMs: 100, ...options })
  onTestFinished(() => loop.close({ timeoutMs: 0 }))
  unsettled = () => loop.stats().unsettled
  const events: (ConsumerEvents['stalled'] | (ConsumerEvents['recovered'] & { recovered: true }))[] = []
  const reasons: string[] = []
  loop.on('stalled', (event) => events.push(event))
  loop.on('recovered', (event) => events.push({ ...event, recovered: true }))
  loop.on('reconnecting', ({ error }) => reasons.push(error.message))
  const gate: (() => void)[] = []
  loop.handle(() => new Promise<void>((resolve) => gate.push(resolve)))
  loop.run().catch(() => {})
  await until(() => script.consumers.length === 1)
  const assign = (): PartitionAssignment => {
    const assignment = { topic: 'orders', partition: 0, epoch: script.consumers.length }
    script.consumer.sink.assigned([assignment])
    return assignment
  }
  const looked = async (more: number): Promise<void> => {
    const before = told.looks
    await until(() => told.looks >= before + more)
  }
  return { script, loop, told, events, reasons, gate, assign, looked }
}

describe('a stall', () => {
  it('is found where messages are there and none comes: the driver is replaced, and it is told', async () => {
    const { script, loop, told, events, reasons, assign } = await start()
    assign()
    told.backlog = 7
    await until(() => script.consumers.length === 2)
    expect(events).toEqual([{ topic: 'orders', partition: 0, reason: 'delivery', unsettled: 0, backlog: 7 }])
    expect(reasons[0]).toContain('7 messages wait, and none was delivered')
    expect(reasons[0]).toContain('stallTimeoutMs')
    expect(loop.stats()).toMatchObject({
      stalled: true,
      heldUpBy: 'transport',
      stallReason: expect.stringContaining('7'),
    })
    expect(loop.stats().stalledSince).toBeLessThanOrEqual(Date.now())
    const assignment = assign()
    void script.consumer.sink.deliver(assignment, deliveriesOf(assignment, ['a1']))
    expect(events.at(-1)).toEqual({ topic: 'orders', partition: 0, reason: 'delivery', recovered: true })
    expect(loop.stats()).toMatchObject({ stalled: false, stalledSince: undefined, heldUpBy: undefined })
  })

  it('is found where the broker does not even tell the lag', async () => {
    const { script, told, assign, reasons } = await start()
    assign()
    told.answers = false
    await until(() => script.consumers.length === 2)
    expect(reasons[0]).toContain("doesn't tell the lag")
  })

  it('that a new connection does not end is not fought over and over: each try waits twice as long', async () => {
    const { script, told, assign, looked } = await start({ stallTimeoutMs: 60 })
    assign()
    told.backlog = 1
    const waits: number[] = []
    for (let drivers = 2; drivers <= 4; drivers += 1) {
      const before = told.looks
      await until(() => script.consumers.length === drivers)
      waits.push(told.looks - before)
      assign()
    }
    expect(waits[2]).toBeGreaterThan(waits[0] ?? 0)
    await looked(1)
  })

  it('is none while nothing is there', async () => {
    const { script, events, assign, looked } = await start()
    assign()
    await looked(5)
    expect(script.consumers).toHaveLength(1)
    expect(events).toEqual([])
  })

  it('is none while the handlers have enough to do: the broker is not even asked', async () => {
    const { script, loop, told, events, gate, assign } = await start({ concurrency: 1, prefetch: 2 })
    const assignment = assign()
    told.backlog = 100
    void script.consumer.sink.deliver(assignment, deliveriesOf(assignment, ['a1', 'b1', 'c1']))
    await until(() => gate.length === 1)
    expect(loop.stats()).toMatchObject({ stalled: false, heldUpBy: 'handlers' })
    // Time enough for a stall to be found, by a loop that has one.
    const other = await start()
    other.assign()
    other.told.backlog = 1
    await until(() => other.script.consumers.length === 2)
    expect(script.consumers).toHaveLength(1)
    expect(events).toEqual([])
    expect(told.looks).toBe(0)
  })

  it('is none in a paused loop or behind a full window, and stats say which', async () => {
    const { script, loop, events, gate, assign } = await start({ maxAheadMessages: 2, concurrency: 8 })
    const assignment = assign()
    void script.consumer.sink.deliver(assignment, deliveriesOf(assignment, ['a1', 'b1']))
    await until(() => gate.length === 2)
    expect(loop.stats()).toMatchObject({ stalled: false, heldUpBy: 'window' })
    expect(events).toEqual([{ topic: 'orders', partition: 0, reason: 'window', unsettled: 2, backlog: 0 }])
    for (const release of gate) release()
    await until(() => events.length === 2)
    expect(events[1]).toEqual({ topic: 'orders', partition: 0, reason: 'window', recovered: true })
    loop.pause()
    expect(loop.stats()).toMatchObject({ stalled: false, heldUpBy: 'paused' })
  })

  it('is not looked for with stallTimeoutMs: 0', async () => {
    const { script, told, assign } = await start({ stallTimeoutMs: 0 })
    assign()
    told.backlog = 1
    const other = await start()
    other.assign()
    other.told.backlog = 1
    await until(() => other.script.consumers.length === 2)
    expect(told.looks).toBe(0)
    expect(script.consumers).toHaveLength(1)
  })
})
