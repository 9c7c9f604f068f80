import { expect, test } from 'vitest'
import { ReturnGate } from '../src/return-gate.js'

async function isOpen(gate: ReturnGate): Promise<boolean> {
  let open = false
  void gate.whenOpen().then(() => {
    open = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  return open
}

test('open as long as nothing was delivered before', async () => {
  const gate = new ReturnGate()
  gate.delivered(false)
  expect(await isOpen(gate)).toBe(true)
})

test('shut while the queue may hold more of what it got back; open when all that is held is finished', async () => {
  const gate = new ReturnGate()
  gate.delivered(true)
  gate.delivered(true)
  expect(await isOpen(gate)).toBe(false)
  const waiting = gate.whenOpen()
  gate.finished(1)
  expect(await isOpen(gate)).toBe(false)
  gate.finished(1)
  await waiting
})

test('open again after a delivery that is new to everybody', async () => {
  const gate = new ReturnGate()
  gate.delivered(true)
  const waiting = gate.whenOpen()
  gate.delivered(false)
  await waiting
})

test('whoever waits is let go when the consumer ends', async () => {
  const gate = new ReturnGate()
  gate.delivered(true)
  const waiting = gate.whenOpen()
  gate.close()
  await waiting
})
