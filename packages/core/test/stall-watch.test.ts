import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { ConsumerEvents } from '../src/consumer/consumer-events.js'
import type { PartitionAssignment } from '../src/contract/consumer-driver.js'
import { deliveriesOf, Script, scriptedTransport } from './support/scripted-adapter.js'

/** How far the test's clock moves before a condition is looked at again, in milliseconds. */
const STEP_MS = 5

/** Moves the clock until the condition holds, so that waits are as long as the code makes them, however busy the machine is. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await vi.advanceTimersByTimeAsync(STEP_MS)
}

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
  beforeEach(() => {
    vi.useFakeTimers()
  })

  afterEach(() => {
    vi.useRealTimers()
  })

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
    expect(reasons[0]).toContain('does not report the lag')
  })

  it('that a new connection does not end is not fought over and over: each try waits twice as long', async () => {
    const stallTimeoutMs = 60
    const { script, told, events, assign } = await start({ stallTimeoutMs })
    told.backlog = 1
    for (let stalls = 1; stalls <= 4; stalls += 1) {
      assign()
      const before = performance.now()
      await until(() => events.length === stalls)
      const waited = performance.now() - before
      const patienceMs = stallTimeoutMs * 2 ** (stalls - 1)
      expect(waited).toBeGreaterThanOrEqual(patienceMs)
      expect(waited).toBeLessThan(patienceMs + stallTimeoutMs / 2 + STEP_MS)
      await until(() => script.consumers.length === stalls + 1)
    }
  })

  it('is not what a clock shows that is set forward', async () => {
    const { script, told, events, assign, looked } = await start()
    assign()
    told.backlog = 1
    await until(() => script.consumers.length === 2)
    assign()
    // The second one takes twice as long: after one look that found a backlog there is one more that finds no stall yet.
    await looked(1)
    vi.setSystemTime(Date.now() + 3_600_000)
    await looked(1)
    expect(events).toHaveLength(1)
    await until(() => events.length === 2)
  })

  it('is none while nothing is there', async () => {
    const { script, events, assign, looked } = await start()
    assign()
    await looked(5)
    expect(script.consumers).toHaveLength(1)
    expect(events).toEqual([])
  })

  it('is judged by what the driver could have delivered, where it says so, and not by a lag that counts more', async () => {
    const { script, told, events, assign } = await start()
    const assignment = assign()
    told.backlog = 7
    let looks = 0
    let undelivered = 0
    script.undelivered = async () => {
      looks += 1
      return new Map([[assignment, undelivered]])
    }
    Object.assign(script.consumer, { undelivered: script.undelivered })
    await until(() => looks > 5)
    expect(events).toEqual([])
    undelivered = 2
    await until(() => script.consumers.length === 2)
    expect(events).toEqual([{ topic: 'orders', partition: 0, reason: 'delivery', unsettled: 0, backlog: 2 }])
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
