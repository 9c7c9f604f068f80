import { expect } from 'vitest'
import { within } from '../../conformance/collect.js'
import { load } from '../../conformance/load.js'
import type { TcpProxy } from '../tcp-proxy.js'
import { LATENCY_MS } from './fault-bench.js'
import { duplicatesBound, type FaultSuite } from './fault-suite.js'

const PRODUCERS = 4
const WINDOW = 50
const PROGRESS_MS = load(30_000)
/** Into a record of some bytes, behind others: in the middle of a frame. */
const RESET_AFTER_BYTES = 501
/** Bytes per second and connection of a slow link. */
const SLOW = 200_000

interface ConnectionFault {
  readonly title: string
  readonly bound: 'connectionLost' | 'connectionSilent'
  /** It ends connections. */
  readonly reconnects: boolean
  /** Sends under way when it comes must be sent again. */
  readonly resends: boolean
  /** Resolves with how many connections it has met. */
  strike(proxy: TcpProxy): number | Promise<number>
}

const FAULTS: readonly ConnectionFault[] = [
  {
    title: 'connections cut',
    bound: 'connectionLost',
    reconnects: true,
    resends: true,
    strike: (proxy) => proxy.cut(),
  },
  ...(['to-server', 'to-client'] as const).flatMap((direction): readonly ConnectionFault[] => [
    {
      title: `connections closed one way, ${direction}`,
      bound: 'connectionLost',
      // Who gets an end may still answer what came before it.
      reconnects: true,
      resends: direction === 'to-client',
      strike: (proxy) => proxy.halfClose(direction),
    },
    {
      title: `connections silent one way, ${direction}`,
      bound: 'connectionSilent',
      reconnects: true,
      resends: true,
      strike: (proxy) => proxy.silence(direction),
    },
    {
      title: `connection reset in the middle of a frame, ${direction}`,
      bound: 'connectionLost',
      reconnects: true,
      resends: false,
      strike: async (proxy) => {
        await proxy.resetAfter(direction, RESET_AFTER_BYTES)
        return 1
      },
    },
  ]),
  {
    title: 'connections half-open (silent both ways)',
    bound: 'connectionSilent',
    reconnects: true,
    resends: true,
    strike: (proxy) => proxy.silence('both'),
  },
  {
    title: `slow link (${SLOW / 1000} kB/s, 50 ms)`,
    bound: 'connectionSilent',
    reconnects: false,
    resends: false,
    strike: (proxy) => {
      proxy.delay(50)
      proxy.trickle(SLOW)
      return proxy.connections
    },
  },
]

/** Item 18: what a network may do to connections. */
export function connectionFaults(suite: FaultSuite): void {
  for (const fault of FAULTS) declare(suite, fault)
}

function declare(suite: FaultSuite, fault: ConnectionFault): void {
  const { recovery, driverRepeats = false } = suite.settings
  const bound = recovery[fault.bound]
  suite.fault(18, fault.title, 2 * PROGRESS_MS + 4 * bound, async (bench) => {
    const { proxy } = bench.stand
    const total = load(2_000)
    await bench.consumers()
    proxy.delay(LATENCY_MS)
    const feed = await bench.feed({ producers: PRODUCERS, total, window: WINDOW, keysPerProducer: 3 })
    const fed = feed.run()
    feed.allow(1 / 3)
    await feed.reached(total / 3, PROGRESS_MS)
    const { accepted } = proxy
    proxy.delay(0)
    const struck = fault.strike(proxy)
    const open = feed.unconfirmed
    const met = await within(Promise.resolve(struck), 'the fault to strike', 2 * bound)
    expect(met, 'connections that the fault meets').toBeGreaterThan(0)
    expect(open.length, 'the fault hits sends that are under way').toBeGreaterThan(0)
    const recoveryMs = await bench.handledAll(open, 'what was under way', 2 * bound)
    feed.allow(2 / 3)
    await feed.reached((2 * total) / 3, 2 * bound)
    // What a silent connection has kept back arrives now, late.
    proxy.heal()
    feed.allow(1)
    await fed
    await bench.complete(PROGRESS_MS)
    expect(feed.failed, 'sends that were given up').toBe(0)
    if (fault.reconnects) expect(proxy.accepted, 'new connections were made').toBeGreaterThan(accepted)
    if (fault.resends && !driverRepeats) expect(feed.resent, 'records were sent again').toBeGreaterThan(0)
    return {
      hit: `${met} connections, ${open.length} sends under way, ${feed.resent} records resent`,
      ...duplicatesBound(bench, { faults: 1, producers: PRODUCERS, window: WINDOW }),
      recoveryMs: Math.round(recoveryMs),
      recoveryBoundMs: bound,
    }
  })
}
