import { expect, test } from 'vitest'
import { AckTracker } from '../src/ack-tracker.js'

test('what is done in order is settled by one frame', () => {
  const tracker = new AckTracker()
  expect(tracker.settle([1, 2, 3])).toEqual({ upTo: 3, singles: [] })
  expect(tracker.settle([4])).toEqual({ upTo: 4, singles: [] })
})

test('what is done before its predecessors is settled alone, and never again', () => {
  const tracker = new AckTracker()
  expect(tracker.settle([3, 5])).toEqual({ upTo: undefined, singles: [3, 5] })
  expect(tracker.settle([1])).toEqual({ upTo: 1, singles: [] })
  // 3 is settled already: the frame must name 2, which is not.
  expect(tracker.settle([2])).toEqual({ upTo: 2, singles: [] })
  expect(tracker.settle([6, 4])).toEqual({ upTo: 6, singles: [] })
})

test('any order of completion settles each tag exactly once', () => {
  const tags = Array.from({ length: 500 }, (_, index) => index + 1)
  let seed = 7
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return seed % below
  }
  for (let index = tags.length - 1; index > 0; index -= 1) {
    const other = random(index + 1)
    ;[tags[index], tags[other]] = [tags[other] as number, tags[index] as number]
  }
  const tracker = new AckTracker()
  const unsettled = new Set(tags)
  while (tags.length > 0) {
    const { upTo, singles } = tracker.settle(tags.splice(0, 1 + random(9)))
    if (upTo !== undefined) {
      expect(unsettled.has(upTo), 'the broker refuses a tag that it has forgotten').toBe(true)
      for (const tag of unsettled) if (tag <= upTo) unsettled.delete(tag)
    }
    for (const tag of singles) expect(unsettled.delete(tag)).toBe(true)
    const done = new Set(tags)
    for (const tag of unsettled) expect(done.has(tag), `${tag} is not done, or was not settled`).toBe(true)
  }
  expect(unsettled.size).toBe(0)
})
