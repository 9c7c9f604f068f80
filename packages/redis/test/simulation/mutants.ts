import { fileURLToPath } from 'node:url'
import type { Mutant } from '@streamswitch/testkit/simulation'

export const SOURCES = fileURLToPath(new URL('../../src', import.meta.url))
/** Within the package, so that its dependencies are found. */
export const COPIES = fileURLToPath(new URL('../../test-results', import.meta.url))

/**
 * Fences that others cover have tests of their own in `leases.test.ts`: pending entries that are read after the loss, where a heartbeat is
 * refused in nearly every case before they arrive; and a partition that is taken again by a member that is to leave.
 */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'acks are taken from whoever sends them',
    file: 'group-scripts.ts',
    fence: `export const ACK = new Script(\`\${EVEN_WHEN_FULL}\${FENCE}`,
    without: `export const ACK = new Script(\`\${EVEN_WHEN_FULL}`,
    seed: 101,
  },
  {
    name: 'attempts are noted by whoever sends them',
    file: 'group-scripts.ts',
    fence: `export const NOTE_ATTEMPT = new Script(\`\${EVEN_WHEN_FULL}\${FENCE}`,
    without: `export const NOTE_ATTEMPT = new Script(\`\${EVEN_WHEN_FULL}`,
    seed: 9,
  },
  {
    name: 'a lease is given back by whoever had it once',
    file: 'group-scripts.ts',
    fence: `export const RELEASE = new Script(\`\${EVEN_WHEN_FULL}\${FENCE}`,
    without: `export const RELEASE = new Script(\`\${EVEN_WHEN_FULL}`,
    seed: 201,
  },
  {
    name: 'a lease is renewed by whoever had it once',
    file: 'group-scripts.ts',
    fence: "  if token ~= '' and lease[3] ~= token then",
    without: '  if false then',
    seed: 3,
  },
  {
    name: 'a lease is taken before it is over',
    file: 'group-scripts.ts',
    fence: "if owner and owner ~= '' and owner ~= ARGV[2] and tonumber(lease[3]) > now then return {'', '', 0} end\n",
    without: '',
    seed: 1,
  },
  {
    name: "epochs are the server's clock",
    file: 'group-scripts.ts',
    fence: "math.max(tonumber(lease[4] or '0') + 1, now)",
    without: 'now',
    seed: 95,
  },
  {
    name: 'epochs are counted',
    file: 'group-scripts.ts',
    fence: "math.max(tonumber(lease[4] or '0') + 1, now)",
    without: "tonumber(lease[4] or '0') + 1",
    seed: 2,
  },
  {
    name: 'what was read too late leaves no mark',
    file: 'group-scripts.ts',
    fence: "if lease[1] ~= ARGV[1] then\n  redis.call('HSET', KEYS[2], 'stray', '1')\n",
    without: 'if lease[1] ~= ARGV[1] then\n',
    seed: 101,
  },
  {
    name: 'the owner does not go back for what was read too late',
    file: 'partition-reader.ts',
    fence: 'if (String(verdict) === STRAY && !this.#stopped) {',
    without: 'if (String(verdict) === STRAY && this.#stopped) {',
    seed: 101,
  },
  {
    name: 'what was read too late is delivered',
    file: 'partition-reader.ts',
    fence: '    if (String(verdict) === FENCED) this.#fenced()\n',
    without: '',
    seed: 3,
  },
  {
    name: 'a new owner leaves out what is pending',
    file: 'lease-membership.ts',
    fence: 'holding.reader.start(lease.pending > 0 ? lease : undefined)',
    without: 'holding.reader.start(undefined)',
    seed: 1,
  },
  {
    name: 'a partition is given back before core has let go',
    file: 'lease-membership.ts',
    fence: "      await this.#context.sink.revoked([holding.reader.assignment], 'graceful'",
    without: "      void this.#context.sink.revoked([holding.reader.assignment], 'graceful'",
    seed: 3,
  },
  {
    name: 'a partition starts over before core has let go',
    file: 'lease-membership.ts',
    fence: "      await this.#context.sink.revoked([assignment], 'graceful'",
    without: "      void this.#context.sink.revoked([assignment], 'graceful'",
    seed: 8,
  },
  {
    name: 'heartbeats and restarts take leases at the same time',
    file: 'lease-membership.ts',
    fence: 'const result = this.#turn.then(work)',
    without: 'const result = work()',
    seed: 1,
  },
  {
    name: 'a heartbeat that was refused changes nothing',
    file: 'lease-membership.ts',
    fence: "      owners[index] = 'another'\n      this.#drop(holding)\n",
    without: "      owners[index] = 'another'\n",
    seed: 22,
  },
  {
    name: 'a member that is to leave takes partitions',
    file: 'lease-membership.ts',
    fence: '    if (this.#stopped) return false\n    if (starts.length > 0)',
    without: '    if (starts.length > 0)',
    seed: 11,
  },
  {
    name: 'members that are silent count as alive',
    file: 'group-scripts.ts',
    fence: "'(' .. string.format('%.0f', now - ARGV[2]))",
    without: "'(0')",
    seed: 1,
  },
  {
    name: 'what others have read in the group is left to them',
    file: 'lease-membership.ts',
    fence: "if (consumer !== '') this.#takeForeign(",
    without: 'if (consumer === undefined) this.#takeForeign(',
    seed: 21,
  },
  {
    name: 'a group that was lost begins at its end',
    file: 'group-scripts.ts',
    fence: "outcome, start = 'recreated', position or '0-0'",
    without: "outcome, start = 'recreated', '$'",
    seed: 8,
  },
  {
    name: 'the position of a group that was lost is noted for the new one',
    file: 'group-scripts.ts',
    fence: "      elseif lease[4] then\n        position = ''\n",
    without: '',
    seed: 8,
  },
  {
    name: 'a driver that is closed while it opens keeps what it opens',
    file: 'consumer.ts',
    fence: 'if (!this.#over) return connection',
    without: 'if (connection !== undefined) return connection',
    seed: 618,
  },
]
