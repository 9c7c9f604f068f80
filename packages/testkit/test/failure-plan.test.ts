import { expect, test } from 'vitest'
import { FailurePlan } from '../src/conformance/failure-plan.js'

const IDS = Array.from({ length: 2_000 }, (_, index) => `key-${index % 16}/${index}`)

function failures(plan: FailurePlan): number[] {
  return IDS.map((id) => plan.failuresOf(id))
}

test('the same seed fails the same messages; another seed fails others', () => {
  expect(failures(new FailurePlan(1, 0.1))).toEqual(failures(new FailurePlan(1, 0.1)))
  expect(failures(new FailurePlan(1, 0.1))).not.toEqual(failures(new FailurePlan(2, 0.1)))
})

test('about as many fail as the rate says, about half of them twice', () => {
  const all = failures(new FailurePlan(7, 0.2))
  const failing = all.filter((count) => count > 0).length
  expect(failing).toBeGreaterThan(300)
  expect(failing).toBeLessThan(500)
  const twice = all.filter((count) => count === 2).length
  expect(twice / failing).toBeGreaterThan(0.35)
  expect(twice / failing).toBeLessThan(0.65)
})

test('a rate of 0 fails nothing, one of 1 everything', () => {
  expect(new Set(failures(new FailurePlan(3, 0)))).toEqual(new Set([0]))
  expect(failures(new FailurePlan(3, 1)).every((count) => count > 0)).toBe(true)
})

test('attempts are counted per message, until its failures are used up', () => {
  const plan = new FailurePlan(3, 1)
  const id = IDS.find((one) => plan.failuresOf(one) === 2) ?? ''
  expect(() => plan.attempt(id)).toThrow(`injected failure 1 of ${id}`)
  expect(() => plan.attempt(id)).toThrow(`injected failure 2 of ${id}`)
  plan.attempt(id)
  expect(plan.injected).toBe(2)
})
