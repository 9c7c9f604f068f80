import { afterAll, describe } from 'vitest'
import { testedRights, underRights } from '../rights/conformance-rights.js'
import { acknowledge } from './acknowledge.js'
import { badInput } from './bad-input.js'
import { batchHandlers } from './batch-handlers.js'
import { batchSend } from './batch-send.js'
import { capabilities } from './capabilities.js'
import { concurrency } from './concurrency.js'
import { deadLetterBox } from './dead-letter-box.js'
import { deadLetters } from './dead-letters.js'
import { dedupe } from './dedupe.js'
import { errorPolicies } from './error-policies.js'
import { factories } from './factories.js'
import { foreignClient } from './foreign-client.js'
import { generatorHandlers } from './generator-handlers.js'
import { groups } from './groups.js'
import { history } from './history.js'
import { hostileRecords } from './hostile-records.js'
import { keyOrder } from './key-order.js'
import { lifecycle } from './lifecycle.js'
import { middleware } from './middleware.js'
import { publishSubscribe } from './publish-subscribe.js'
import { rebalanceHooks } from './rebalance-hooks.js'
import { redelivery } from './redelivery.js'
import { requests } from './requests.js'
import { router } from './router.js'
import { runner } from './runner.js'
import { secrets } from './secrets.js'
import { sendingLifecycle } from './sending-lifecycle.js'
import type { ConformanceSettings } from './settings.js'
import { slowHandler } from './slow-handler.js'
import { startPositions } from './start-positions.js'
import { Suite } from './suite.js'
import { topicPatterns } from './topic-patterns.js'
import { topics } from './topics.js'
import { unreachable } from './unreachable.js'

/** The parts of the suite, in the order of their item numbers. */
const PARTS: readonly ((suite: Suite) => void)[] = [
  capabilities,
  badInput,
  unreachable,
  secrets,
  publishSubscribe,
  hostileRecords,
  concurrency,
  topics,
  topicPatterns,
  redelivery,
  keyOrder,
  lifecycle,
  sendingLifecycle,
  history,
  groups,
  batchSend,
  deadLetters,
  deadLetterBox,
  acknowledge,
  dedupe,
  slowHandler,
  factories,
  router,
  runner,
  requests,
  foreignClient,
  middleware,
  errorPolicies,
  generatorHandlers,
  batchHandlers,
  startPositions,
  rebalanceHooks,
]

/**
 * Declares the conformance suite for one adapter: call it at the top level of a vitest file. Declared capabilities
 * select the cases; undeclared ones are tested to be refused, and nothing is skipped. Tests use unique names, close
 * what they open and delete what they created, so that they may run concurrently with others on one broker.
 * `STREAMSWITCH_SOAK=1` runs ten times the load. `STREAMSWITCH_TEST_RIGHTS`, which `npm run test:rights` sets, runs it
 * with limited permissions.
 */
export function conformance(settings: ConformanceSettings): void {
  const rights = testedRights()
  const suite = new Suite(rights === undefined ? settings : underRights(settings, rights))
  describe(`${settings.adapter.name} conforms`, () => {
    const { harness } = suite.settings
    if (harness !== undefined) afterAll(() => harness.checkAnyConnection())
    for (const part of PARTS) part(suite)
  })
}
