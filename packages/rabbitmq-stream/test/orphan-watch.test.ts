import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { OrphanWatch, WATCH_INTERVAL_MS } from '../src/orphan-watch.js'

/** A candidate that waits before a backlog, and never sees a sign of the owner. */
function candidate() {
  return {
    waiting: true,
    signs: vi.fn(async () => 'the same'),
    hasBacklog: vi.fn(async () => true),
    stepBack: vi.fn(async () => {}),
    join: vi.fn(async () => {}),
  }
}

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

test('an owner is missed after five silent seconds, not by a clock that is set forward', async () => {
  const one = candidate()
  const watch = new OrphanWatch([one], (error) => expect.unreachable(String(error)))
  watch.start()
  await vi.advanceTimersByTimeAsync(2 * WATCH_INTERVAL_MS)
  expect(one.signs).toHaveBeenCalledTimes(2)
  vi.setSystemTime(Date.now() + 3_600_000)
  await vi.advanceTimersByTimeAsync(2 * WATCH_INTERVAL_MS)
  expect(one.signs).toHaveBeenCalledTimes(4)
  expect(one.hasBacklog).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(2 * WATCH_INTERVAL_MS)
  expect(one.hasBacklog).toHaveBeenCalled()
  watch.stop()
})
