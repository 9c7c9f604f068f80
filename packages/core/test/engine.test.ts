import { describe, expect, it } from 'vitest'
import type { ConsumerLoop } from '../src/consumer/consumer-loop.js'
import type { PartitionAssignment } from '../src/contract/consumer-driver.js'
import { StreamError } from '../src/errors.js'
import type { Logger } from '../src/logger.js'
import type { Message } from '../src/message.js'
import { deliveriesOf, Script, scriptedTransport, until } from './support/scripted-adapter.js'

type Run = {
  readonly message: Message<string>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** A loop whose handlers end when the test says so. */
async function start(options: object = {}, script = new Script(), logger?: Logger) {
  const transport = scriptedTransport(script, logger === undefined ? {} : { logger })
  const loop = transport.consumer<string>('orders', {
    group: 'billing',
    retry: { minDelayMs: 0, maxDelayMs: 0 },
    deadLetter: false,
    ...options,
  }) as ConsumerLoop<string>
  const runs: Run[] = []
  loop.handle((message) => new Promise<void>((resolve, reject) => runs.push({ message, resolve, reject })))
  const finished = loop.run()
  finished.catch(() => {})
  await until(() => script.consumers.length > 0)
  const assignment: PartitionAssignment = { topic: 'orders', partition: 0, epoch: 1 }
  script.consumer.sink.assigned([assignment])
  const names = (): string[] => runs.map((run) => run.message.id)
  const deliver = (list: string[], extra = {}) =>
    script.consumer.sink.deliver(assignment, deliveriesOf(assignment, list, extra))
  const end = async (name: string, error?: unknown): Promise<void> => {
    await until(() => runs.some((run) => run.message.id === name))
    const run = runs.findLast((one) => one.message.id === name) as Run
    if (error === undefined) run.resolve()
    else run.reject(error)
  }
  return { script, loop, runs, names, deliver, end, assignment, finished, driver: script.consumer }
}

describe('an ack behind an unsettled message', () => {
  it('rejects when the partition goes, where partitions are settled up to a place', async () => {
    const script = new Script()
    script.settlement = 'cumulative'
    const { runs, deliver, assignment, driver, loop } = await start({ ack: 'manual' }, script)
    deliver(['a1', 'b1'])
    await until(() => runs.length === 2)
    const ack = runs[1]?.message.ack()
    for (const run of runs) run.resolve()
    await driver.sink.revoked([assignment], 'lost')
    await expect(ack).rejects.toMatchObject({ code: 'ABORTED' })
    await loop.close()
  })
})

describe('a settlement that nobody awaits', () => {
  it('is an error event where it fails, once per partition that was taken away, and no unhandled rejection', async () => {
    const unhandled: unknown[] = []
    const listen = (reason: unknown): void => void unhandled.push(reason)
    process.on('unhandledRejection', listen)
    const { runs, deliver, assignment, driver, loop } = await start({ ack: 'manual' })
    const errors: string[] = []
    loop.on('error', ({ code }) => errors.push(code))
    deliver(['a1', 'b1', 'c1'])
    await until(() => runs.length === 3)
    const [first, second, third] = runs.map(({ message }) => message)
    void first?.respond('nobody asked')
    void first?.nack('no')
    void first?.ack()
    await until(() => errors.length === 1)
    await driver.sink.revoked([assignment], 'lost')
    void second?.ack()
    void third?.ack()
    void third?.nack()
    await until(() => errors.length === 2)
    await new Promise(setImmediate)
    process.off('unhandledRejection', listen)
    expect({ unhandled, errors }).toEqual({ unhandled: [], errors: ['CONFLICT', 'ABORTED'] })
    await loop.close()
  })
})

describe('a loop that can not join in time', () => {
  it('says what its driver waited for', async () => {
    const script = new Script()
    script.whenOpening = () => new Promise(() => {})
    const loop = scriptedTransport(script).consumer('orders', { group: 'billing', connectTimeoutMs: 20 })
    await expect(loop.init()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining(
        'not ready within 20 ms (connectTimeoutMs); it was still waiting for the other members',
      ),
    })
    await loop.close()
  })
})

describe('a loop that fails', () => {
  it('is logged at error, whoever listens to its events and awaits its end', async () => {
    const lines: string[] = []
    const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: (line: string) => void lines.push(line) }
    const script = new Script()
    const { loop, deliver, end, finished } = await start({}, script, quiet)
    loop.on('error', () => {})
    deliver(['a1'])
    for (let attempt = 1; attempt <= 5; attempt += 1) {
      await until(() => loop.stats().running === 1 || loop.failure !== undefined)
      await end('a1', new Error(`no ${attempt}`))
      await until(() => loop.stats().running === 0)
    }
    await expect(finished).rejects.toThrow('no 5')
    expect(lines).toEqual([expect.stringContaining('the loop ended with an error')])
  })
})

describe('dispatch', () => {
  it('runs keys side by side and messages of a key one after the other', async () => {
    const { names, deliver, end, loop } = await start()
    deliver(['a1', 'a2', 'b1', 'a3', '-1'])
    expect(names()).toEqual(['a1', 'b1', '-1'])
    await end('b1')
    await end('a1')
    await until(() => names().length === 4)
    expect(names()).toEqual(['a1', 'b1', '-1', 'a2'])
    await end('a2')
    await until(() => names().includes('a3'))
    await loop.close({ timeoutMs: 0 })
  })

  it('does not start a message again whose attempts were used up by processes that died', async () => {
    const { names, deliver, driver, loop } = await start({ retry: { attempts: 3 }, errorPolicy: 'restart' })
    void deliver(['a1', 'a2'], { suspect: true, priorAttempts: 3 })
    void deliver(['b1'])
    await until(() => driver.acked.length === 2)
    await until(() => names().length === 1)
    expect(names()).toEqual(['b1'])
    await loop.close({ timeoutMs: 0 })
  })

  it('starts nothing beside a message that must be alone before its ack is confirmed: a crash would be charged to it', async () => {
    const { names, deliver, end, driver, loop } = await start()
    let confirm: () => void = () => {}
    driver.beforeAck = () => new Promise((resolve) => (confirm = resolve))
    void deliver(['a1', 'b1'], { wasAtWork: true })
    void deliver(['c1'])
    await end('a1')
    await until(() => driver.acksBegun === 1)
    expect(names()).toEqual(['a1'])
    expect(driver.journal).toEqual(['start a1 3'])
    confirm()
    await end('b1')
    await until(() => driver.acksBegun === 2)
    expect(names()).toEqual(['a1', 'b1'])
    confirm()
    await until(() => names().includes('c1'))
    await loop.close({ timeoutMs: 0 })
  })

  it('the ack of a message that must be alone waits for no others, also where its handler awaits it', async () => {
    const { runs, names, deliver, driver, loop } = await start({ ack: 'manual' })
    driver.settleIntervalMs = 3_600_000
    void deliver(['a1', 'b1'], { wasAtWork: true })
    for (const name of ['a1', 'b1']) {
      await until(() => names().includes(name))
      const run = runs.at(-1) as Run
      await run.message.ack()
      run.resolve()
    }
    expect(driver.acked).toEqual(['a1', 'b1'])
    await loop.close({ timeoutMs: 0 })
  })

  it('never exceeds concurrency, and keeps to it when retries come due', async () => {
    const { runs, deliver, end, loop } = await start({ concurrency: 2 })
    deliver(['a1', 'b1', 'c1', 'd1'])
    expect(runs.length).toBe(2)
    await end('a1', new Error('once'))
    await until(() => runs.length === 3)
    expect(loop.stats().running).toBe(2)
    await loop.close({ timeoutMs: 0 })
  })

  it('a failed message keeps only its key waiting, and comes again before its followers', async () => {
    const { runs, names, deliver, end, driver, loop } = await start()
    deliver(['a1', 'a2', 'b1'])
    await end('a1', new Error('once'))
    await end('b1')
    await until(() => runs.length === 3)
    expect(runs[2]?.message).toMatchObject({ id: 'a1', attempt: 2 })
    await end('a1')
    await until(() => names().includes('a2'))
    await end('a2')
    await until(() => driver.acked.length === 3)
    expect(driver.acked).toEqual(['b1', 'a1', 'a2'])
    await loop.close()
  })

  it("ordering: 'none' lifts the order", async () => {
    const { names, deliver, loop } = await start({ ordering: 'none' })
    deliver(['a1', 'a2', 'a3'])
    expect(names()).toEqual(['a1', 'a2', 'a3'])
    await loop.close({ timeoutMs: 0 })
  })

  it('runs what was at work twice one at a time, each noted before it starts, and charges prior attempts', async () => {
    const { names, runs, deliver, end, driver, loop } = await start()
    deliver(['a1', 'b1'], { wasAtWork: true, priorAttempts: 2 })
    deliver(['c1'])
    await until(() => names().length === 1)
    expect(driver.journal).toEqual(['start a1 7'])
    expect(runs[0]?.message.attempt).toBe(3)
    await end('a1')
    await until(() => names().length === 2)
    expect(names()).toEqual(['a1', 'b1'])
    await end('b1')
    await until(() => names().includes('c1'))
    await loop.close({ timeoutMs: 0 })
  })

  it('runs suspects as usual, with their starts noted and nothing charged', async () => {
    const { names, deliver, end, driver, loop } = await start()
    deliver(['a1', 'b1'], { suspect: true, priorAttempts: 2 })
    deliver(['c1'])
    await until(() => names().length === 3)
    expect(driver.journal).toEqual(['start a1 5', 'start b1 5'])
    for (const name of ['a1', 'b1', 'c1']) await end(name)
    await until(() => driver.acked.length === 3)
    await loop.close({ timeoutMs: 0 })
  })

  it('a loop that pauses while a start is being noted neither handles nor acks the message', async () => {
    const { runs, names, deliver, end, driver, loop } = await start()
    let noted = (): void => {}
    driver.attempts.starting = () =>
      new Promise<void>((resolve) => {
        noted = resolve
      })
    deliver(['a1'], { suspect: true })
    loop.pause()
    noted()
    await until(() => loop.stats().running === 0)
    expect(names()).toEqual([])
    loop.resume()
    noted()
    await end('a1')
    await until(() => driver.acked.length === 1)
    expect(runs.map(({ message }) => message.attempt)).toEqual([1])
    await loop.close()
  })

  it('a message that has used up its attempts by killing processes is not started again', async () => {
    const retry = { attempts: 3, minDelayMs: 0, maxDelayMs: 0 }
    const { names, deliver, end, driver, loop } = await start({ retry, errorPolicy: 'restart' })
    deliver(['a1'], { suspect: true, priorAttempts: 3 })
    deliver(['b1'])
    await end('b1')
    await until(() => driver.acked.length === 2)
    expect(names()).toEqual(['b1'])
    expect([...driver.acked].sort()).toEqual(['a1', 'b1'])
    await loop.close()
  })
})

describe('settlement', () => {
  it('cumulative: commits the contiguous prefix only', async () => {
    const script = new Script()
    script.settlement = 'cumulative'
    const { deliver, end, driver, loop } = await start({}, script)
    deliver(['a1', 'b1', 'c1'])
    await end('b1')
    await end('c1')
    await until(() => loop.stats().handled === 2)
    expect(driver.committed).toEqual([])
    await end('a1')
    await until(() => driver.committed.length > 0)
    expect(driver.committed.at(-1)).toBe('c1')
    await loop.close()
  })

  it('acks what is done while the driver is still opening', async () => {
    const script = new Script()
    const transport = scriptedTransport(script)
    const loop = transport.consumer('orders', { group: 'billing' })
    loop.handle(() => {})
    let opened: () => void = () => {}
    script.whenOpening = () =>
      new Promise<void>((resolve) => {
        opened = resolve
      })
    void loop.run()
    await until(() => script.consumers.length > 0)
    loop.resume()
    const assignment: PartitionAssignment = { topic: 'orders', partition: 0, epoch: 1 }
    script.consumer.sink.assigned([assignment])
    void script.consumer.sink.deliver(assignment, deliveriesOf(assignment, ['a1', 'b1']))
    await until(() => script.consumer.acked.length === 2)
    opened()
    await loop.close()
  })

  it('goes on acking what was settled while an ack was on its way', async () => {
    const { deliver, end, driver, loop } = await start()
    let finish: () => void = () => {}
    driver.beforeAck = () =>
      new Promise<void>((resolve) => {
        finish = resolve
      })
    deliver(['a1', 'b1'])
    await end('a1')
    await until(() => driver.acksBegun === 1)
    await end('b1')
    await until(() => loop.stats().handled === 2)
    finish()
    await until(() => driver.acksBegun === 2)
    finish()
    await until(() => driver.acked.length === 2)
    await loop.close()
  })

  it('keeps what an ack could not settle and tries again', async () => {
    const { deliver, end, driver, loop } = await start()
    const errors: StreamError[] = []
    loop.on('error', (error) => errors.push(error))
    driver.failAcks = new StreamError('busy', { code: 'UNAVAILABLE' })
    deliver(['a1'])
    await end('a1')
    await until(() => errors.length > 0)
    driver.failAcks = undefined
    await until(() => driver.acked.length === 1)
    await loop.close()
  })

  it("manual: settles on ack() only, holds the key back until then, and says what can't be", async () => {
    const { runs, names, deliver, end, driver, loop } = await start({ ack: 'manual' })
    deliver(['a1', 'a2'])
    await end('a1')
    await until(() => loop.stats().running === 0)
    expect(driver.acked).toEqual([])
    expect(names()).toEqual(['a1'])
    const message = runs[0]?.message as Message<string>
    await message.ack()
    await message.ack()
    expect(driver.acked).toEqual(['a1'])
    await expect(message.nack()).rejects.toMatchObject({ code: 'CONFLICT' })
    await until(() => names().length === 2)
    const second = runs[1]?.message as Message<string>
    await second.nack('later')
    await expect(second.ack()).rejects.toMatchObject({ code: 'CONFLICT' })
    await loop.close({ timeoutMs: 0 })
    await expect(second.ack()).rejects.toMatchObject({ code: 'ABORTED' })
  })
})

describe('revocation', () => {
  it('graceful: waits for running handlers, flushes their acks, gives the rest back, then lets go', async () => {
    const { runs, deliver, end, driver, assignment, loop } = await start({ concurrency: 1 })
    deliver(['a1', 'b1'])
    let gone = false
    const revoked = driver.sink.revoked([assignment], 'graceful', 5_000).then(() => {
      gone = true
    })
    await until(() => runs.length === 1)
    expect(gone).toBe(false)
    await end('a1')
    await revoked
    expect(driver.acked).toEqual(['a1'])
    expect(driver.released).toEqual(['b1'])
    expect(runs.length).toBe(1)
    await loop.close()
  })

  it('lost: aborts the signals at once, settles nothing, and reports the late end as an overlap', async () => {
    const { runs, deliver, driver, assignment, loop } = await start()
    deliver(['a1'])
    await until(() => runs.length === 1)
    await driver.sink.revoked([assignment], 'lost')
    expect(runs[0]?.message.signal.aborted).toBe(true)
    runs[0]?.resolve()
    await until(() => loop.stats().overlaps === 1)
    expect(driver.acked).toEqual([])
    await loop.close()
  })

  it('a lost connection brings a fresh driver; what was running is not acked through it', async () => {
    const { runs, deliver, script, driver, loop } = await start()
    deliver(['a1'])
    await until(() => runs.length === 1)
    driver.sink.lost(new StreamError('cut', { code: 'UNAVAILABLE' }))
    await until(() => script.consumers.length === 2)
    runs[0]?.resolve()
    await until(() => loop.stats().overlaps === 1)
    expect(script.consumer.acked).toEqual([])
    expect(loop.assignments).toEqual([])
    await loop.close()
  })
})

describe('limits', () => {
  it('deliver() asks the driver to wait at the prefetch, and lets it go on when half is free', async () => {
    const { deliver, end, loop } = await start({ prefetch: 4, concurrency: 1 })
    const room = deliver(['a1', 'b1', 'c1', 'd1', 'e1'])
    expect(room).toBeInstanceOf(Promise)
    let resolved = false
    void room?.then(() => {
      resolved = true
    })
    await end('a1')
    await end('b1')
    await until(() => resolved)
    await loop.close({ timeoutMs: 0 })
  })

  it('says that a partition pauses when maxAheadMessages wait behind one key', async () => {
    const { deliver, end, loop, driver, assignment } = await start({ maxAheadMessages: 3, prefetch: 100 })
    const stalled: unknown[] = []
    loop.on('stalled', (event) => stalled.push(event))
    expect(deliver(['a1', 'a2', 'a3'])).toBeInstanceOf(Promise)
    expect(stalled).toEqual([{ topic: 'orders', partition: 0, reason: 'window', unsettled: 3, backlog: 0 }])
    expect(driver.sink.capacity(assignment)).toBe(0)
    await end('a1')
    await end('a2')
    await until(() => driver.sink.capacity(assignment) > 0)
    await loop.close({ timeoutMs: 0 })
  })

  it('a handler over its time gets its signal aborted, and the attempt counts as failed', async () => {
    const { runs, deliver, loop } = await start({ handlerTimeoutMs: 40, handlerGraceMs: 60_000 })
    deliver(['a1'])
    await until(() => runs.length === 1)
    const signal = runs[0]?.message.signal as AbortSignal
    await until(() => signal.aborted)
    expect(signal.reason).toMatchObject({ code: 'TIMEOUT' })
    runs[0]?.resolve()
    await until(() => runs.length === 2)
    expect(runs[1]?.message).toMatchObject({ id: 'a1', attempt: 2 })
    expect(runs[1]?.message.signal.aborted).toBe(false)
    await loop.close({ timeoutMs: 0 })
  })

  it('a handler that ignores its signal is left behind, and the error policy decides', async () => {
    const restart = await start({ handlerTimeoutMs: 20, handlerGraceMs: 20, errorPolicy: 'restart' })
    restart.deliver(['a1', 'a2'])
    await until(() => restart.names().includes('a2'))
    expect(restart.loop.stats().overlaps).toBe(1)
    await restart.loop.close({ timeoutMs: 0 })

    const stop = await start({ handlerTimeoutMs: 20, handlerGraceMs: 20 })
    stop.deliver(['a1'])
    await expect(stop.finished).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(stop.driver.acked).toEqual([])
  })

  it("errorPolicy 'stop' ends the loop with the handler's error and leaves the message unacked", async () => {
    const { deliver, end, finished, driver } = await start({ retry: { attempts: 1 } })
    deliver(['a1'])
    await end('a1', new Error('no way'))
    await expect(finished).rejects.toMatchObject({ message: 'no way' })
    expect(driver.acked).toEqual([])
  })

  it('close is bounded when a handler never ends: its signal aborts, its message is not acked', async () => {
    const { runs, deliver, loop, driver } = await start()
    deliver(['a1', 'a2'])
    await until(() => runs.length === 1)
    await loop.close({ timeoutMs: 30 })
    expect(runs[0]?.message.signal.aborted).toBe(true)
    expect(driver.acked).toEqual([])
    expect(driver.released).toEqual(['a2'])
  })
})

describe('close with a full inbox', () => {
  it('lets a driver go that waits for room: it would stop no sooner than its last delivery is taken', async () => {
    const { driver, deliver, runs, loop } = await start({ prefetch: 2, concurrency: 1 })
    const room = deliver(['a1', 'b1', 'c1'])
    expect(room).toBeInstanceOf(Promise)
    await until(() => runs.length === 1)
    driver.beforeStop = () => room
    await loop.close({ timeoutMs: 0 })
    expect(driver.released).toEqual(['b1', 'c1'])
  })
})
