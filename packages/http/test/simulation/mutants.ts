import { fileURLToPath } from 'node:url'
import type { Mutant } from '@streamswitch/testkit/simulation'

export const SOURCES = fileURLToPath(new URL('../../src', import.meta.url))
/** Within the package, so that its dependencies are found. */
export const COPIES = fileURLToPath(new URL('../../test-results', import.meta.url))

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'who sends again is not recognised while its message is handled',
    file: 'server/group-inbox.ts',
    fence: '      if (atWork !== undefined && isSame(record, atWork.record.timestamp)) return atWork.join(answer)\n',
    without: '',
    seed: 5,
  },
  {
    name: 'accepted messages are forgotten',
    file: 'server/group-inbox.ts',
    fence: "      if (acceptedAt !== undefined && isSame(record, acceptedAt)) return answer('accepted')\n",
    without: '',
    seed: 5,
  },
  {
    name: 'a key goes to any loop while it is handled',
    file: 'server/group-inbox.ts',
    fence: '    if (atWork !== undefined) return atWork.member\n',
    without: '',
    seed: 5,
  },
  {
    name: 'a message that was handed to core keeps its request when the loop closes',
    file: 'server/member.ts',
    fence: '    for (const delivery of [...this.#delivered.keys()]) this.settle(delivery, problems.closing())\n',
    without: '',
    seed: 39,
  },
  {
    name: 'a message goes on although the one before it was refused',
    file: 'server/gathering.ts',
    fence: "if (outcome !== 'accepted' || this.#abandoned) this.#refuseRest",
    without: 'if (this.#abandoned) this.#refuseRest',
    seed: 9,
  },
  {
    name: 'messages of a request do not wait for those of their key',
    file: 'server/gathering.ts',
    fence: 'const { ordered } = inbox\n',
    without: 'const ordered = false\n',
    seed: 9,
  },
  {
    name: 'the last loop but one takes the group along',
    file: 'server/hub.ts',
    fence: '      if (joined.members.length > 0) return\n',
    without: '',
    seed: 3,
  },
  {
    name: 'a loop that is closed while it opens joins',
    file: 'consumer.ts',
    fence: '    if (this.#stopped || this.#opening !== opening) throw closedWhileOpening()\n',
    without: '',
    seed: 137,
  },
  {
    name: 'what follows a refused message in the next request is sent',
    file: 'client/subscriber.ts',
    fence:
      'if (failed === undefined) this.#outbox.unshift(run)\n    else this.#refuseRest(run, refusalBehind(failed.error))',
    without:
      "this.#outbox.unshift(run)\n    if (failed === this) this.#refuseRest(run, refusalBehind(this.#error('CLOSED', '')))",
    seed: 13,
  },
  {
    name: 'a response that breaks off counts as accepted',
    file: 'client/request.ts',
    fence: '    } else if (this.#open > 0) {\n      const refusal =\n',
    without:
      '    } else if (this.#open > 0) {\n      for (const index of this.parcels.keys()) this.#settle(index, undefined)\n      const refusal =\n',
    seed: 1,
  },
  {
    name: 'replicas that are gone are chosen again and again',
    file: 'client/subscriber.ts',
    fence: '    if (refusal.elsewhere) this.#avoidUntil = performance.now() + AVOID_MS\n',
    without: '',
    seed: 1,
  },
  {
    name: 'requests wait for their response forever',
    file: 'client/subscriber.ts',
    fence:
      '      if (now - request.exchange.heardAt >= responseTimeoutMs)\n        request.exchange.abort(new LateResponse(responseTimeoutMs))\n',
    without: '      void request\n',
    seed: 10,
  },
  {
    name: 'a response that is late counts as an answer',
    file: 'client/exchange.ts',
    fence: '    this.#abortedBy = reason\n    this.#fail(reason)\n    this.#controller?.abort(reason)\n',
    without:
      '    this.#abortedBy = reason\n    this.#events.end(204, {}, undefined)\n    this.#controller?.abort(reason)\n',
    seed: 10,
  },
]
