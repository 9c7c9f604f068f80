import { expect, test } from 'vitest'
import { Gate, Watch, within } from '../src/conformance/collect.js'

test('a condition that holds resolves at once, one that comes true after a change', async () => {
  const watch = new Watch()
  await watch.until(() => true, 'nothing')
  let ready = false
  const waiting = watch.until(() => ready, 'the change')
  ready = true
  watch.changed()
  await waiting
})

test('a condition that comes true without an event is found', async () => {
  const watch = new Watch()
  let looks = 0
  const third = (): boolean => {
    looks += 1
    return looks >= 3
  }
  await watch.until(third, 'the third look')
  expect(looks).toBe(3)
})

test('a condition that never holds rejects with what was waited for and what was there instead', async () => {
  const waiting = new Watch().until(
    () => false,
    'the impossible',
    () => 'nothing of it',
    20,
  )
  await expect(waiting).rejects.toThrow('waited 20 ms for: the impossible; instead: nothing of it')
})

test('a condition that throws ends the wait with its error', async () => {
  const broken = (): boolean => {
    throw new Error('broken')
  }
  await expect(new Watch().until(broken, 'nothing')).rejects.toThrow('broken')
})

test('within passes a result on, and rejects when there is none in time', async () => {
  await expect(within(Promise.resolve(1), 'a number')).resolves.toBe(1)
  await expect(within(new Promise(() => {}), 'the impossible', 20)).rejects.toThrow('waited 20 ms for: the impossible')
})

test('a gate holds until it is opened, then for nobody', async () => {
  const gate = new Gate()
  let passed = false
  const passing = gate.opened.then(() => {
    passed = true
  })
  await Promise.resolve()
  expect(passed).toBe(false)
  gate.open()
  await passing
  await gate.opened
})
