import { describe } from 'vitest'
import { soak, soakPlan } from '../soak/soak.js'
import { brokerExhausted } from './broker-exhausted.js'
import { brokerKilled } from './broker-killed.js'
import { connectionFaults } from './connection-faults.js'
import { consumerFrozen } from './consumer-frozen.js'
import { deliveriesStop } from './deliveries-stop.js'
import { exitWhileUnreachable } from './exit-while-unreachable.js'
import { FaultSuite } from './fault-suite.js'
import { idleLoop } from './idle-loop.js'
import { lagReported } from './lag-reported.js'
import { consumerKilled, producerKilled } from './process-killed.js'
import { resendsRecognised } from './resends-recognised.js'
import type { FaultSettings } from './settings.js'
import { slowConsumer, slowConsumerMs } from './slow-consumer.js'
import { slowLink } from './slow-link.js'
import { topicChanged } from './topic-changed.js'

/** The parts of the suite, in the order of their item numbers. */
const PARTS: readonly ((suite: FaultSuite) => void)[] = [
  slowConsumer,
  brokerKilled,
  connectionFaults,
  slowLink,
  deliveriesStop,
  consumerKilled,
  producerKilled,
  resendsRecognised,
  exitWhileUnreachable,
  consumerFrozen,
  topicChanged,
  lagReported,
  brokerExhausted,
  idleLoop,
]

/**
 * Declares the fault suite for one adapter: call it at the top level of a separate vitest file. Faults are real:
 * processes are killed and frozen, connections cut, at a target that the suite starts. After each the whole ledger is
 * checked: nothing confirmed is lost, nothing is out of order, duplicates and recovery stay within their bounds.
 * Results are written as rows, see `STREAMSWITCH_RELIABILITY_RESULTS`. With `STREAMSWITCH_SOAK_MINUTES` set, it
 * declares that many minutes of random faults instead (`STREAMSWITCH_SOAK_SEED` selects which); with
 * `STREAMSWITCH_SLOW_CONSUMER_MINUTES`, only the slow consumer, for that long.
 */
export function faults(settings: FaultSettings): void {
  const suite = new FaultSuite(settings)
  describe(`${settings.adapter.name} under faults`, () => {
    suite.around()
    const plan = soakPlan()
    const parts = slowConsumerMs() === undefined ? PARTS : [slowConsumer]
    if (plan === undefined) for (const part of parts) part(suite)
    else soak(suite, plan)
  })
}
