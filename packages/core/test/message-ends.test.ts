import { describe, expect, it } from 'vitest'
import type { ConsumerLoop } from '../src/consumer/consumer-loop.js'
import { MemoryDedupeStore } from '../src/dedupe/memory-dedupe-store.js'
import { StreamError } from '../src/errors.js'
import type { Message } from '../src/message.js'
import { deliveriesOf, Script, scriptedTransport, until } from './support/scripted-adapter.js'

interface Run {
  readonly message: Message<string>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** A loop whose handlers end when the test says so. What `consumer-model.test.ts` has found, step by step. */
async function start(options: object = {}, settlement: 'individual' | 'cumulative' = 'individual') {
  const script = new Script()
  script.settlement = settlement
  const loop = scriptedTransport(script).consumer<string>('orders', {
    group: 'billing',
    retry: { attempts: 1, minDelayMs: 0, maxDelayMs: 0 },
    deadLetter: false,
    ...options,
  }) as ConsumerLoop<string>
  loop.on('error', () => {})
  const runs: Run[] = []
  loop.handle((message) => new Promise<void>((resolve, reject) => runs.push({ message, resolve, reject })))
  const finished = loop.run()
  finished.catch(() => {})
  await until(() => script.consumers.length > 0)
  const driver = script.consumer
  const assign = (epoch: number) => {
    const assignment = { topic: 'orders', partition: 0, epoch }
    driver.sink.assigned([assignment])
    return {
      assignment,
      deliver: (...names: string[]) => void driver.sink.deliver(assignment, deliveriesOf(assignment, names)),
    }
  }
  const run = async (name: string, start = 1): Promise<Run> => {
    const found = (): Run[] => runs.filter((one) => one.message.id === name)
    await until(() => found().length >= start)
    return found()[start - 1] as Run
  }
  return { script, loop, runs, run, assign, driver, finished, ...assign(1) }
}

describe('a message that is given up', () => {
  it('is not covered by a commit: neither when the loop closes nor when its error ends the loop', async () => {
    const closing = await start({}, 'cumulative')
    closing.deliver('a1', 'b1')
    const [failing, succeeding] = [await closing.run('a1'), await closing.run('b1')]
    const closed = closing.loop.close()
    failing.reject(new Error('no'))
    succeeding.resolve()
    await closed
    expect(closing.loop.stats().handled).toBe(1)
    expect(closing.driver.committed).toEqual([])

    const stopping = await start({}, 'cumulative')
    stopping.deliver('a1', 'b1')
    const other = await stopping.run('b1')
    ;(await stopping.run('a1')).reject(new Error('no'))
    await until(() => stopping.loop.lastError !== undefined)
    other.resolve()
    await expect(stopping.finished).rejects.toThrow('no')
    expect(stopping.driver.committed).toEqual([])
  })

  it('counts for the inbox no more', async () => {
    const { loop, run, deliver } = await start()
    deliver('a1', 'b1')
    const [failing, succeeding] = [await run('a1'), await run('b1')]
    const closed = loop.close()
    failing.reject(new Error('no'))
    succeeding.resolve()
    await closed
    expect(loop.stats().inboxBytes).toBe(0)
  })
})

describe('a message whose dead letter is on its way', () => {
  it.each(['ack', 'nack'] as const)('is settled once, whoever calls %s() meanwhile', async (call) => {
    const { script, loop, driver, run, deliver } = await start({ deadLetter: { topic: 'failed' } })
    deliver('a1', 'a2')
    const { message, reject } = await run('a1')
    reject(new Error('no'))
    const { batch, finish } = await script.nextCall()
    if (call === 'ack') await expect(message.ack()).rejects.toMatchObject({ code: 'CONFLICT' })
    else await message.nack()
    expect(driver.acked).toEqual([])
    batch.acceptAll()
    finish()
    ;(await run('a2')).resolve()
    await until(() => driver.acked.length === 2)
    expect(driver.acked).toEqual(['a1', 'a2'])
    expect(loop.stats()).toMatchObject({ handled: 1, deadLettered: 1, acked: 2, unsettled: 0 })
    expect(script.pendingCalls).toBe(0)
    await loop.close()
  })
})

describe('a handler that goes on after its ack', () => {
  it('learns that its partition is gone', async () => {
    const { driver, loop, run, deliver, assignment } = await start()
    deliver('a1')
    const { message, resolve } = await run('a1')
    await message.ack()
    await driver.sink.revoked([assignment], 'lost')
    expect(message.signal.aborted).toBe(true)
    resolve()
    await loop.close()
  })

  it('is left behind when it ignores its timeout: its key and its slot go on', async () => {
    const { loop, run, deliver } = await start({ concurrency: 1, handlerTimeoutMs: 20, handlerGraceMs: 20 })
    deliver('a1', 'a2')
    const { message } = await run('a1')
    await message.ack()
    ;(await run('a2')).resolve()
    expect(message.signal.aborted).toBe(true)
    await loop.close()
    expect(loop.stats()).toMatchObject({ handled: 2, acked: 2 })
  })
})

describe('ack()', () => {
  it('rejects where the broker has refused the ack for good, and the key goes on', async () => {
    const { loop, driver, run, deliver } = await start()
    driver.failAcks = new StreamError('not allowed', { code: 'PERMISSION_DENIED' })
    deliver('a1', 'a2')
    const { message, resolve } = await run('a1')
    await expect(message.ack()).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    await expect(message.ack()).rejects.toMatchObject({ code: 'ABORTED' })
    driver.failAcks = undefined
    resolve()
    ;(await run('a2')).resolve()
    await until(() => driver.acked.length === 1)
    await loop.close()
  })

  it('rejects once the attempt has failed and the next one is due', async () => {
    const retry = { attempts: 2, minDelayMs: 0, maxDelayMs: 0 }
    const { loop, run, deliver } = await start({ retry })
    deliver('a1')
    const { message, reject } = await run('a1')
    loop.pause()
    reject(new Error('no'))
    await until(() => loop.stats().retried === 1)
    // Over: the backoff, and nothing may start.
    await new Promise((resolve) => setTimeout(resolve, 0))
    await expect(message.ack()).rejects.toMatchObject({ code: 'CONFLICT' })
    await loop.close()
  })
})

describe('dedupe, when a partition goes', () => {
  it("gives a message back that still waits for its ack (ack: 'manual')", async () => {
    const store = new MemoryDedupeStore()
    const { loop, driver, run, assign, deliver, assignment } = await start({ ack: 'manual', dedupe: { store } })
    deliver('a1')
    ;(await run('a1')).resolve()
    await until(() => loop.stats().running === 0)
    await driver.sink.revoked([assignment], 'lost')
    assign(2).deliver('a1')
    const again = await run('a1', 2)
    again.resolve()
    await again.message.ack()
    await loop.close()
    expect(driver.acked).toEqual(['a1'])
  })

  it.each([
    ["whose handler returns later without an ack (ack: 'manual')", { ack: 'manual' }, (one: Run) => one.resolve()],
    ['whose handler throws nothing at all', {}, (one: Run) => one.reject(undefined)],
  ])('does not take a message for done %s', async (_name, options, end) => {
    const store = new MemoryDedupeStore()
    const { loop, driver, run, assign, deliver, assignment } = await start({ ...options, dedupe: { store } })
    deliver('a1')
    const first = await run('a1')
    await driver.sink.revoked([assignment], 'lost')
    end(first)
    await until(() => loop.stats().overlaps === 1)
    assign(2).deliver('a1')
    await run('a1', 2)
    expect(loop.stats().deduplicated).toBe(0)
    await loop.close({ timeoutMs: 0 })
  })
})
