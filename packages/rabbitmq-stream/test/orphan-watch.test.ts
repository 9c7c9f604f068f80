import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { OrphanWatch, WATCH_INTERVAL_MS } from '../src/orphan-watch.js'

// Members of one process look in the same turn; these are of several.
vi.mock(import('@streamswitch/core/driver'), async (original) => ({
  ...(await original()),
  everyInStep: (everyMs, tick) => {
    const timer = setInterval(tick, everyMs)
    return () => clearInterval(timer)
  },
}))

/** What the broker keeps of a partition. */
interface Records {
  signs: string
  call: bigint | undefined
}

/** A member that waits before a backlog. */
function candidate(records: Records) {
  const one = {
    waiting: true,
    look: vi.fn(async () => ({ ...records })),
    hasBacklog: vi.fn(async () => true),
    callBack: vi.fn(() => {
      records.call = (records.call ?? 0n) + 1n
    }),
    stepBack: vi.fn(async () => {
      one.waiting = false
      return true
    }),
    join: vi.fn(async () => {
      one.waiting = true
    }),
  }
  return one
}

const watches: OrphanWatch[] = []

/** Looks at these candidates from now on, as a process of its own. */
function watch(...candidates: ReturnType<typeof candidate>[]): void {
  const one = new OrphanWatch(candidates, (error) => expect.unreachable(String(error)))
  watches.push(one)
  one.start()
}

const looks = (count: number) => vi.advanceTimersByTimeAsync(count * WATCH_INTERVAL_MS)

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  for (const one of watches.splice(0)) one.stop()
  vi.useRealTimers()
})

test('an owner is missed after five silent seconds, not by a clock that is set forward', async () => {
  const one = candidate({ signs: 'the same', call: undefined })
  watch(one)
  await looks(2)
  vi.setSystemTime(Date.now() + 3_600_000)
  await looks(2)
  expect(one.look).toHaveBeenCalledTimes(4)
  expect(one.hasBacklog).not.toHaveBeenCalled()
  await looks(2)
  expect(one.stepBack).toHaveBeenCalledTimes(1)
})

test('who finds it calls: all who wait are away at the same time, whenever they began to look, and come back', async () => {
  const records: Records = { signs: 'the same', call: undefined }
  const [first, late] = [candidate(records), candidate(records)]
  watch(first)
  await looks(3.5)
  watch(late)
  await looks(2.6)
  expect([first.waiting, late.waiting]).toEqual([false, true])
  await looks(1)
  expect([first.waiting, late.waiting]).toEqual([false, false])
  expect(late.callBack).not.toHaveBeenCalled()
  await looks(4)
  expect([first.waiting, late.waiting]).toEqual([true, true])
  // Nobody has come: twice as long until the next time.
  await looks(7)
  expect([first.stepBack, late.stepBack].map(({ mock }) => mock.calls.length)).toEqual([1, 1])
  await looks(2)
  expect([first.stepBack, late.stepBack].map(({ mock }) => mock.calls.length)).toEqual([2, 2])
})

test('nobody steps back before an owner that lives, nor without a backlog', async () => {
  const records: Records = { signs: '0', call: undefined }
  const one = candidate(records)
  watch(one)
  for (let turn = 0; turn < 10; turn += 1) {
    records.signs = String(turn)
    await looks(1)
  }
  one.hasBacklog.mockResolvedValue(false)
  await looks(10)
  expect(one.hasBacklog).toHaveBeenCalled()
  expect(one.stepBack).not.toHaveBeenCalled()
})
