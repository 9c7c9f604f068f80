import { expect } from 'vitest'
import { load } from '../../conformance/load.js'
import type { FaultBench } from './fault-bench.js'
import { duplicatesBound, type FaultSuite } from './fault-suite.js'

/** Bytes per second, connection and direction. What a member finds waiting takes longer than a call, a probe or a session may. */
const RATE = 20_000
const DELAY_MS = 50
const PAYLOAD_BYTES = 2_000
/** Many keys: no partition has much more than another, and the slowest member not much more to carry. */
const SHAPE = { producers: 2, total: load(320), window: 10, keysPerProducer: 40 }
const BACKLOG = 3 / 4
/** How often a member or a producer may give a connection up before it asks for less at a time. */
const LOSSES = 1
/** Timeouts as users have them: under those of the other cases hardly any call would be answered here. */
const DEFAULTS = { options: {}, producer: {}, consumer: {} }
const PROGRESS_MS = load(60_000)

/**
 * Item 18: a link on which what waits can't come within the deadline of a call. Loops that come to a backlog there, and producers that send
 * over it, get on, however slowly: what they ask for at a time fits the link, so that heartbeats, acks and probes get through as well.
 */
export function slowLink(suite: FaultSuite): void {
  const title = `link too slow for a whole fetch (${RATE / 1_000} kB/s, ${DELAY_MS} ms)`
  suite.fault(
    18,
    title,
    4 * PROGRESS_MS,
    async (bench) => {
      const { proxy } = bench.stand
      const { producers, window, total } = SHAPE
      const members = await bench.consumers()
      const feed = await bench.feed(SHAPE, {}, PAYLOAD_BYTES)
      const fed = feed.run()
      if (bench.brokered) {
        // The group is there, its members are away.
        for (const member of members) member.terminate()
        await Promise.all(members.map((member) => member.ended(PROGRESS_MS)))
        feed.allow(BACKLOG)
        await bench.until(() => feed.resting, 'the backlog to be sent', PROGRESS_MS)
      }
      const backlog = feed.confirmed
      const started = performance.now()
      proxy.delay(DELAY_MS)
      proxy.trickle(RATE)
      if (bench.brokered) await Promise.all(members.map((member) => member.start()))
      feed.allow(1)
      const decided = (): boolean => feed.confirmed + feed.failed === total
      await bench.until(decided, 'everything to be sent', PROGRESS_MS)
      await bench.complete(PROGRESS_MS)
      await fed
      const seconds = Math.round((performance.now() - started) / 1_000)
      const lost = { loops: lossesOf(bench), producers: feed.reconnects }
      expect(feed.failed, 'sends that were given up').toBe(0)
      expect(lost.loops, 'connections that loops gave up').toBeLessThanOrEqual(LOSSES * bench.memberCount)
      expect(lost.producers, 'connections that producers gave up').toBeLessThanOrEqual(LOSSES * producers)
      const anew = lost.loops + lost.producers
      return {
        hit: `${backlog} messages waiting, ${total - backlog} sent; all of it through in ${seconds} s with ${anew} new connections`,
        // A member that came first hands partitions over to the one that comes next, while the acks of what it has done are on their way.
        ...duplicatesBound(bench, { faults: 1 + anew, producers, window }),
      }
    },
    DEFAULTS,
  )
}

function lossesOf(bench: FaultBench): number {
  return bench.reader.refresh().processes.filter(({ did }) => did === 'reconnecting').length
}
