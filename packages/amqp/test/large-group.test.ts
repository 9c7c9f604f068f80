import { setTimeout as delay } from 'node:timers/promises'
import { startBroker } from '@streamswitch/testkit/brokers'
import { expect, onTestFinished, test } from 'vitest'
import { openTransport } from './support/member.js'

const MEMBERS = 20
const PARTITIONS = 64
const STALL_TIMEOUT_MS = 15_000
const MINUTE = 60_000

test(
  'twenty members of a group with 64 partitions: they share them, and none takes the silence for a stall',
  async () => {
    const broker = await startBroker('rabbitmq')
    onTestFinished(() => broker.remove())
    const lines: string[] = []
    const note = (line: string): void => void lines.push(line)
    const logger = { debug() {}, info() {}, warn: note, error: note }
    const members = Array.from({ length: MEMBERS }, () => {
      // A machine with other work must not pass for a broker that is silent.
      const patient = { memberIntervalMs: 1_000, heartbeatSeconds: 60, callTimeoutMs: MINUTE }
      const transport = openTransport(broker.url, patient, { logger })
      onTestFinished(() => transport.close())
      const loop = transport.consumer('large', {
        group: 'g',
        partitions: PARTITIONS,
        connectTimeoutMs: 4 * MINUTE,
        stallTimeoutMs: STALL_TIMEOUT_MS,
      })
      loop.handle(() => {})
      void loop.run()
      return loop
    })
    await Promise.all(members.map((loop) => loop.init()))
    const share = Math.floor(PARTITIONS / MEMBERS)
    const shares = (): number[] => members.map((loop) => loop.stats().partitions)
    const fair = (): boolean =>
      shares().every((count) => count === share || count === share + 1) &&
      shares().reduce((sum, count) => sum + count, 0) === PARTITIONS
    await expect.poll(fair, { timeout: 4 * MINUTE, interval: 100 }).toBe(true)
    // Long enough for a stall to be found: one and a half timeouts after the last delivery.
    await delay(2 * STALL_TIMEOUT_MS)
    expect(lines).toEqual([])
    expect(members.map((loop) => loop.stats().reconnects)).toEqual(members.map(() => 0))
    expect(fair()).toBe(true)
  },
  10 * MINUTE,
)
