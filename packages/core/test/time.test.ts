import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { atMost } from '../src/at-most.js'
import { deadlineSignal, everyInStep, nextTurn, wait } from '../src/time.js'
import { Script, scriptedTransport } from './support/scripted-adapter.js'

const SOURCES = join(import.meta.dirname, '..', 'src')

describe('time', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })

  afterEach(() => {
    vi.useRealTimers()
  })

  it('waits by the clock of the test, and gives way by the real one', async () => {
    let isOver = false
    const waiting = wait(60_000).then(() => {
      isOver = true
    })
    const signal = deadlineSignal(120_000)
    await new Promise<void>((resolve) => nextTurn(resolve))
    await vi.advanceTimersByTimeAsync(59_999)
    expect(isOver).toBe(false)
    await vi.advanceTimersByTimeAsync(1)
    await waiting
    expect(signal.aborted).toBe(false)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(signal.reason).toMatchObject({ name: 'TimeoutError' })
  })

  it('ends a wait when its signal aborts, and leaves no timer', async () => {
    const ending = new AbortController()
    const waiting = wait(60_000, ending.signal)
    const limited = atMost(new Promise(() => {}), 60_000, ending.signal)
    ending.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    await limited
    await expect(wait(1, ending.signal)).rejects.toThrow('enough')
    expect(vi.getTimerCount()).toBe(0)
  })

  it('calls all that wait for the same time in the same turn, whenever they began, and none twice', async () => {
    const calls: [name: string, at: number][] = []
    const ends: (() => void)[] = []
    const begin = (name: string, everyMs: number): void => {
      ends.push(everyInStep(everyMs, () => calls.push([name, performance.now()])))
    }
    const started = performance.now()
    begin('first', 1_000)
    await vi.advanceTimersByTimeAsync(400)
    begin('second', 1_000)
    begin('rare', 5_000)
    await vi.advanceTimersByTimeAsync(9_600)
    for (const end of ends) end()
    await vi.advanceTimersByTimeAsync(9_600)
    const timesOf = (name: string): number[] => calls.filter(([of]) => of === name).map(([, at]) => at)
    const first = timesOf('first')
    expect(first.length).toBe(10)
    expect(first[0]).toBeLessThanOrEqual(started + 1_000)
    expect(timesOf('second')).toEqual(first.filter((at) => at > started + 400))
    expect(timesOf('rare').length).toBe(2)
    for (const at of timesOf('rare')) expect(first).toContain(at)
    expect(vi.getTimerCount()).toBe(0)
  })

  it("calls no later than after each interval where the clock of the process is no test's", async () => {
    vi.useRealTimers()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let calls = 0
    const end = everyInStep(100, () => {
      calls += 1
    })
    await vi.advanceTimersByTimeAsync(1_000)
    end()
    expect(calls).toBeGreaterThanOrEqual(10)
  })

  it('lets a connection be tried again by the clock of the test', async () => {
    const script = new Script()
    let tries = 0
    script.onOpen = async () => {
      tries += 1
      if (tries < 4) throw new Error('not yet')
    }
    const producer = scriptedTransport(script).producer('orders')
    const opened = producer.init()
    await vi.advanceTimersByTimeAsync(5_000)
    await opened
    expect(tries).toBe(4)
  })

  it('is asked through one door: nothing in core waits in a way that fake timers miss', () => {
    const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
    const missed = files.filter(
      (file) =>
        file !== 'time.ts' &&
        /timers\/promises|AbortSignal\.timeout|\bsetImmediate\(run|\bsetImmediate\(pump/.test(
          readFileSync(join(SOURCES, file), 'utf8'),
        ),
    )
    expect(missed).toEqual([])
  })
})
