import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Repetition } from '../src/repetition.js'

describe('something that keeps happening', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })

  afterEach(() => {
    vi.useRealTimers()
  })

  /** At which seconds it is due when it happens every second. */
  function dueIn(seconds: number, repetition = new Repetition()): number[] {
    const due: number[] = []
    for (let second = 0; second < seconds; second += 1) {
      if (repetition.isDue('cause')) due.push(second)
      vi.advanceTimersByTime(1_000)
    }
    return due
  }

  it('is due at once, and then less and less often', () => {
    expect(dueIn(200)).toEqual([0, 10, 30, 70, 150])
    const late = dueIn(3_000).slice(-2)
    expect((late[1] ?? 0) - (late[0] ?? 0)).toBe(300)
  })

  it('is news once, again for another cause, and again after half a minute without it', () => {
    const repetition = new Repetition()
    expect([repetition.isNews('a'), repetition.isNews('a'), repetition.isNews('b')]).toEqual([true, false, true])
    vi.advanceTimersByTime(30_000)
    expect(repetition.isNews('b')).toBe(false)
    vi.advanceTimersByTime(30_001)
    expect(repetition.isNews('b')).toBe(true)
  })
})
