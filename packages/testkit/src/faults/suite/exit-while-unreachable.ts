import { expect } from 'vitest'
import { load } from '../../conformance/load.js'
import { ledgerTime } from '../../ledger/index.js'
import type { TcpProxy } from '../tcp-proxy.js'
import { duplicatesBound, type FaultSuite } from './fault-suite.js'

const WINDOW = 50
const PROGRESS_MS = load(30_000)
/** What the processes give their producers and loops to end. */
const CLOSE_TIMEOUT_MS = 2_000

/** Item 20: SIGTERM while the other end can't be reached. The process ends by itself, in time, with what it has done settled. */
export function exitWhileUnreachable(suite: FaultSuite): void {
  declare(suite, 'refuses connections', (proxy) => {
    proxy.refuse()
    proxy.cut()
  })
  declare(suite, 'is silent', (proxy) => void proxy.silence('both', 'all'))
}

function declare(suite: FaultSuite, what: string, strike: (proxy: TcpProxy) => void): void {
  const bound = suite.settings.recovery.exit
  suite.fault(20, `SIGTERM while the server ${what}`, 2 * PROGRESS_MS + 4 * bound, async (bench) => {
    const consumer = await bench.consumer('c1', { closeTimeoutMs: CLOSE_TIMEOUT_MS })
    const role = { count: 1_000_000, keys: ['a', 'b', 'c', 'd'], window: WINDOW, closeTimeoutMs: CLOSE_TIMEOUT_MS }
    const producer = await bench.producer('p1', role)
    await bench.until(() => bench.reader.refresh().counts.handled >= 500, 'traffic', PROGRESS_MS)
    strike(bench.stand.proxy)
    const unconfirmed = (): number => {
      const { sent, confirmed } = bench.reader.refresh().counts
      return sent - confirmed
    }
    await bench.until(() => unconfirmed() >= WINDOW, 'a full window of sends without confirmation', PROGRESS_MS)
    const struck = unconfirmed()
    const started = ledgerTime()
    consumer.terminate()
    producer.terminate()
    const exits = await Promise.all([consumer.ended(2 * bound), producer.ended(2 * bound)])
    const exitMs = (ledgerTime() - started) / 1_000
    expect(exits, 'both end by themselves').toEqual([
      { code: 0, signal: null },
      { code: 0, signal: null },
    ])
    bench.stand.proxy.heal()
    await bench.consumer('c2')
    await bench.complete(PROGRESS_MS)
    return {
      hit: `${struck} sends unconfirmed`,
      ...duplicatesBound(bench, { faults: 1, producers: 1, window: WINDOW }),
      recoveryMs: Math.round(exitMs),
      recoveryBoundMs: bound,
    }
  })
}
