import { fileURLToPath } from 'node:url'
import type { Mutant } from '@streamswitch/testkit/simulation'

export const SOURCES = fileURLToPath(new URL('../../src', import.meta.url))
/** Within the package, so that its dependencies are found. */
export const COPIES = fileURLToPath(new URL('../../test-results', import.meta.url))

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'handing over goes on before core has let go',
    file: 'partition-consumer.ts',
    fence: "if (assignment !== undefined) await this.#settings.sink.revoked([assignment], 'graceful')",
    without: "if (assignment !== undefined) void this.#settings.sink.revoked([assignment], 'graceful')",
    seed: 1,
  },
  {
    name: 'a partition that is handed over takes deliveries',
    file: 'partition-consumer.ts',
    fence: '      !this.#leaving &&\n',
    without: '',
    seed: 8,
  },
  {
    name: 'a channel that the broker closes costs core nothing',
    file: 'partition-consumer.ts',
    fence: "    if (assignment !== undefined) void this.#settings.sink.revoked([assignment], 'lost')\n",
    without: '',
    seed: 2,
  },
  {
    name: 'changes of a partition overlap',
    file: 'partition-consumer.ts',
    fence: 'const run = this.#changes.then(change)',
    without: 'const run = change()',
    seed: 253,
  },
  {
    name: 'partitions are taken while a change runs',
    file: 'group-consumer.ts',
    fence: 'if (consumer.isChanging || !consumer.isOpen) continue',
    without: 'if (!consumer.isOpen) continue',
    seed: 22,
  },
  {
    name: 'all consumers have the same priority',
    file: 'group-consumer.ts',
    fence: 'const WANTED_PRIORITY = 1',
    without: 'const WANTED_PRIORITY = 0',
    seed: 14,
  },
  {
    name: 'an owner keeps the priority of a standby',
    file: 'group-consumer.ts',
    fence: 'else if (!this.#wanted.has(consumer) && consumer.unacked === 0) void this.#raiseRank(consumer)',
    without: '',
    seed: 2584,
  },
  {
    name: 'a connection that is given up is written on',
    file: 'partition-consumer.ts',
    fence:
      '    this.#assignment = undefined\n    // What is still to be noted would be written over the notes of the next owner.\n    this.#settings.redeliveries.reset()\n',
    without: '    this.#assignment = undefined\n',
    seed: 5611,
  },
  {
    name: 'what waits for a connection is written however late',
    file: 'attempt-store.ts',
    fence: '    await control.open()\n',
    without: '',
    seed: 108_453,
  },
  {
    name: 'silent members never count as gone',
    file: 'membership.ts',
    fence: '        continue\n      this.#peers.delete(instance)\n',
    without: '        continue\n',
    seed: 16,
  },
  {
    name: 'everything up to a tag is acked whatever is unfinished before it',
    file: 'ack-tracker.ts',
    fence:
      'if (tag > this.#low) singles.push(tag)\n      // The tag of such a frame must itself be unsettled so far: a new one, hence.\n      else if',
    without: 'if',
    seed: 2,
  },
  {
    name: 'a tag is acked twice',
    file: 'partition-consumer.ts',
    fence: '    for (const tag of singles) channel.ack(tagged(tag))\n',
    without: '    for (const tag of tags) channel.ack(tagged(tag))\n',
    seed: 1,
  },
  {
    name: 'pending notes outlive the loss of a partition',
    file: 'attempt-store.ts',
    fence: '    this.#era += 1\n',
    without: '    if (this.#era >= 0) return\n',
    seed: 225,
  },
  {
    name: 'what is done is written over the notes of others',
    file: 'attempt-store.ts',
    fence: '    if (this.#changes.size === 0) return Promise.resolve()\n    this.#unread = true\n',
    without: '    if (this.#changes.size === 0) return Promise.resolve()\n',
    seed: 22,
  },
  {
    name: 'starts are noted after the partition is lost',
    file: 'group-consumer.ts',
    fence: '    if (this.#consumers[assignment.partition]?.holds(assignment, delivery) !== true) return\n',
    without: '',
    seed: 225,
  },
  {
    name: 'a lost connection leaves its partitions with core',
    file: 'consumer.ts',
    fence: '    for (const group of this.#groups) group.connectionLost()\n    this.#lose(error)\n',
    without: '    for (const group of this.#groups) group.connectionLost()\n',
    seed: 1,
  },
  {
    name: 'a channel that the broker closes is not opened again',
    file: 'group-consumer.ts',
    fence: '      await this.#reopen(consumer)\n    })\n  }\n\n  async #change',
    without: '    })\n  }\n\n  async #change',
    seed: 10,
  },
]
