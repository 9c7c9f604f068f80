import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { FetchBudget } from '../src/fetch-budget.js'

const KIB = 1024
const TARGET_MS = 1_000

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

/** A link that carries so many bytes per second, one after the other. */
class Link {
  arrived = 0
  readonly #bytesPerSecond: number

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond
  }

  carry(bytes: number): void {
    this.arrived += bytes
    vi.advanceTimersByTime((bytes * 1_000) / this.#bytesPerSecond)
  }

  /** Carries one fetch that brings all it may. */
  fetch(budget: FetchBudget, waitMs?: number): number {
    const { bytes } = budget
    const measured = budget.begin(() => this.arrived, waitMs)
    this.carry(bytes)
    measured.ended()
    return bytes
  }
}

test('begins small, and doubles while fetches bring all they may and come fast, up to the limit', () => {
  const budget = new FetchBudget(300 * KIB, TARGET_MS)
  const link = new Link(10_000 * KIB)
  const asked = Array.from({ length: 5 }, () => link.fetch(budget) / KIB)
  expect(asked).toEqual([64, 128, 256, 300, 300])
})

test('grows by what has come, not by answers that bring little', () => {
  const budget = new FetchBudget(1_000 * KIB, TARGET_MS)
  const link = new Link(10_000 * KIB)
  for (let fetch = 0; fetch < 9; fetch += 1) {
    const measured = budget.begin(() => link.arrived)
    link.carry(KIB)
    measured.ended()
  }
  expect(budget.bytes).toBe(64 * KIB)
})

test('on a slow link it is what comes within the target, found with the first fetch', () => {
  const budget = new FetchBudget(4_000 * KIB, TARGET_MS)
  const link = new Link(20 * KIB)
  expect(link.fetch(budget)).toBe(64 * KIB)
  expect(budget.bytes).toBe(20 * KIB)
  for (let fetch = 0; fetch < 9; fetch += 1) link.fetch(budget)
  expect(budget.bytes, 'stays there').toBe(20 * KIB)
})

test('fetches that share a link share the budget', () => {
  const budget = new FetchBudget(4_000 * KIB, TARGET_MS)
  const link = new Link(20 * KIB)
  const fetches = Array.from({ length: 4 }, () => budget.begin(() => link.arrived))
  for (const fetch of fetches) {
    link.carry(16 * KIB)
    fetch.ended()
  }
  expect(budget.bytes, 'no more than a few of them within the target').toBeLessThanOrEqual(10 * KIB)
  for (let round = 0; round < 5; round += 1) {
    const { bytes } = budget
    const next = Array.from({ length: 4 }, () => budget.begin(() => link.arrived))
    for (const fetch of next) {
      link.carry(bytes)
      fetch.ended()
    }
  }
  expect(4 * budget.bytes).toBeLessThanOrEqual(20 * KIB)
})

test('a fetch that never ended says as much as one that did; one that failed early says nothing', () => {
  const budget = new FetchBudget(4_000 * KIB, TARGET_MS)
  budget.begin(() => 0).ended()
  expect(budget.bytes, 'refused at once').toBe(64 * KIB)
  const link = new Link(2 * KIB)
  const cut = budget.begin(() => link.arrived)
  link.carry(10 * KIB)
  cut.ended()
  expect(budget.bytes, 'a second of what came in five').toBe(2 * KIB)
})

test('silence is no slow link, and a wait for data is none either', () => {
  const budget = new FetchBudget(4_000 * KIB, TARGET_MS)
  let arrived = 0
  const silent = budget.begin(() => arrived)
  vi.advanceTimersByTime(10 * TARGET_MS)
  silent.ended()
  expect(budget.bytes, 'nothing came').toBe(64 * KIB)
  const busy = budget.begin(() => arrived)
  vi.advanceTimersByTime(10 * TARGET_MS)
  arrived = 100
  busy.ended()
  expect(budget.bytes, 'the server was busy for ten seconds').toBe(64 * KIB)
  const idle = budget.begin(() => arrived, 3 * TARGET_MS)
  vi.advanceTimersByTime(3 * TARGET_MS)
  arrived += 2 * KIB
  idle.ended()
  expect(budget.bytes, 'the broker had nothing for three seconds').toBe(64 * KIB)
})

test('what is dropped counts for nothing, not even as a neighbour', () => {
  const budget = new FetchBudget(4_000 * KIB, TARGET_MS)
  const link = new Link(20 * KIB)
  const joining = budget.begin(() => link.arrived)
  vi.advanceTimersByTime(9 * TARGET_MS)
  link.arrived = 10 * KIB
  joining.dropped()
  expect(budget.bytes).toBe(64 * KIB)
  link.fetch(budget)
  expect(budget.bytes).toBe(20 * KIB)
})

test('never falls below a small message, unless the limit does', () => {
  const link = new Link(10)
  const budget = new FetchBudget(4_000 * KIB, TARGET_MS)
  link.fetch(budget)
  expect(budget.bytes).toBe(KIB)
  const tiny = new FetchBudget(500, TARGET_MS)
  link.fetch(tiny)
  expect(tiny.bytes).toBe(500)
})

test('grows back when the link is fast again', () => {
  const budget = new FetchBudget(256 * KIB, TARGET_MS)
  new Link(KIB).fetch(budget)
  expect(budget.bytes).toBe(KIB)
  const fast = new Link(10_000 * KIB)
  for (let fetch = 0; fetch < 8; fetch += 1) fast.fetch(budget)
  expect(budget.bytes).toBe(256 * KIB)
})
