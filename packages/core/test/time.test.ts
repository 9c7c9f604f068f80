import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { atMost } from '../src/at-most.js'
import { deadlineSignal, nextTurn, wait } from '../src/time.js'
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
