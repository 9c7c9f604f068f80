import { fileURLToPath } from 'node:url'
import type { Mutant } from '@streamswitch/testkit/simulation'

export const SOURCES = fileURLToPath(new URL('../../src', import.meta.url))
/** Within the package, so that its dependencies are found. */
export const COPIES = fileURLToPath(new URL('../../test-results', import.meta.url))

/**
 * Fences that others cover, so that removing one alone changes nothing in thousands of runs, have tests of their own in
 * `membership-race.test.ts`: what an owner overwrites, reads before it stores, and does after it has given a partition up.
 */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'a member steps back whatever the broker has told it',
    file: 'partition-member.ts',
    fence:
      '!this.#stopped && candidacy?.handle !== undefined && candidacy.unanswered === 0 && candidacy.term === undefined',
    without: '!this.#stopped && candidacy?.handle !== undefined && candidacy.term?.active === undefined',
    seed: 68,
  },
  {
    name: 'an activation goes on after its term',
    file: 'partition-member.ts',
    fence: '    if (!this.#holds(term)) throw new TermOver()\n    if (settled.status',
    without: '    if (settled.status',
    seed: 16,
  },
  {
    name: 'epochs are the clock of the member',
    file: 'partition-member.ts',
    fence: 'Math.max(records.epoch, Date.now()) + 1 + Math.floor(Math.random() * EPOCH_SPREAD)',
    without: 'Date.now()',
    seed: 3,
  },
  {
    name: 'epochs of two members may be the same',
    file: 'partition-member.ts',
    fence: ' + 1 + Math.floor(Math.random() * EPOCH_SPREAD)',
    without: ' + 1',
    seed: 459,
  },
  {
    name: 'handing over is answered before core has let go',
    file: 'partition-member.ts',
    fence: "      await this.#context.sink.revoked([active.assignment], 'graceful'",
    without: "      void this.#context.sink.revoked([active.assignment], 'graceful'",
    seed: 4,
  },
  {
    name: 'updates are not answered once the candidacy has ended',
    file: 'partition-member.ts',
    fence: '      candidacy.unanswered -= 1\n',
    without: '      candidacy.unanswered -= 1\n      if (update.active === false) return\n',
    seed: 4,
  },
  {
    name: 'an owner never reads what is stored',
    file: 'active-partition.ts',
    fence: '    this.#scheduleGuard()\n    await',
    without: '    await',
    seed: 68,
  },
  {
    name: 'an owner reads what is stored once its subscription stands',
    file: 'active-partition.ts',
    fence: '    this.#scheduleGuard()\n    await this.#read(this.#feed, this.#settings.start)\n',
    without: '    await this.#read(this.#feed, this.#settings.start)\n    this.#scheduleGuard()\n',
    seed: 71,
  },
  {
    name: 'a higher epoch ends nothing',
    file: 'active-partition.ts',
    fence: 'if (!this.#over && stored > epoch) {',
    without: 'if (!this.#over && stored < 0) {',
    seed: 10,
  },
  {
    name: 'what was refused after storing counts as stored',
    file: 'active-partition.ts',
    fence: '    if (this.#over) throw partitionGone(topic, partition)\n',
    without: '',
    seed: 78,
  },
  {
    name: 'nobody looks for partitions without an owner',
    file: 'group-membership.ts',
    fence: '    this.#watch.start()\n',
    without: '',
    seed: 232,
  },
  {
    name: 'who has stepped back stays away',
    file: 'orphan-watch.ts',
    fence: '    await candidate.join()\n',
    without: '',
    seed: 10,
  },
  {
    name: 'those who wait do not see the call',
    file: 'orphan-watch.ts',
    fence: 'if (seen.call !== sight.call) return true',
    without: '',
    seed: 10,
  },
  {
    name: 'a position is one message ahead',
    file: 'active-partition.ts',
    fence: ': offset + 1\n    await this.#save(next)',
    without: ': offset + 2\n    await this.#save(next)',
    seed: 1,
  },
  {
    name: 'a member that is to leave takes partitions',
    file: 'partition-member.ts',
    fence: '    return !this.#stopped && !revoked && candidacy',
    without: '    return !revoked && candidacy',
    seed: 1,
  },
]
