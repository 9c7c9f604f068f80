import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { answerDeadline } from '../src/answer-deadline.js'

const TIMEOUT_MS = 1_000

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

/** How long a deadline lasts while so many bytes arrive per timeout. */
function lasts(bytesPerTimeout: number): number {
  const started = Date.now()
  let over: number | undefined
  const arrived = (): number => Math.floor(((Date.now() - started) * bytesPerTimeout) / TIMEOUT_MS)
  answerDeadline(arrived, TIMEOUT_MS, () => (over = Date.now() - started))
  vi.advanceTimersByTime(100 * TIMEOUT_MS)
  return over ?? Number.POSITIVE_INFINITY
}

test('expires when nothing arrives, or no more than heartbeats', () => {
  expect(lasts(0)).toBe(TIMEOUT_MS)
  expect(lasts(100)).toBe(TIMEOUT_MS)
})

test('waits on while deliveries arrive, not for ever', () => {
  expect(lasts(20_000)).toBe(6 * TIMEOUT_MS)
})

test('expires when they stop arriving', () => {
  let bytes = 0
  let expired = 0
  answerDeadline(
    () => bytes,
    TIMEOUT_MS,
    () => (expired += 1),
  )
  bytes = 5_000
  vi.advanceTimersByTime(TIMEOUT_MS)
  expect(expired).toBe(0)
  vi.advanceTimersByTime(TIMEOUT_MS)
  expect(expired).toBe(1)
})

test('ends with the answer', () => {
  let expired = 0
  let bytes = 0
  const end = answerDeadline(
    () => bytes,
    TIMEOUT_MS,
    () => (expired += 1),
  )
  bytes = 5_000
  vi.advanceTimersByTime(TIMEOUT_MS)
  end()
  vi.advanceTimersByTime(100 * TIMEOUT_MS)
  expect(expired).toBe(0)
})
