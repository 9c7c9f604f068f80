import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MakeSettings } from '../faults/worker-spec.js'

/** The next hand-over in the history of this ledger ends its process. */
export function armHandOver(ledger: string): void {
  writeFileSync(armed(ledger), '')
}

/** Whether one has. */
export function diedInHandOver(ledger: string): boolean {
  return existsSync(died(ledger))
}

const armed = (ledger: string): string => join(ledger, 'armed')
const died = (ledger: string): string => join(ledger, 'died-in-hand-over')

/** A worker dies when its handlers have ended for a hand-over: its acks may be under way, its partitions are still its own. */
const makeSettings: MakeSettings = ({ ledger }) => ({
  onRevoked: (partitions, how) => {
    if (how !== 'graceful' || partitions.length === 0 || !existsSync(armed(ledger))) return
    renameSync(armed(ledger), died(ledger))
    process.kill(process.pid, 'SIGKILL')
  },
})

export default makeSettings
