import type { DedupeStore } from '@streamswitch/core'
import type { Bench } from './bench.js'
import type { Member } from './member.js'

/** Declares a test that has a store of its own. */
export type StoreTest = (
  title: string,
  shape: { readonly groups?: number; readonly partitions?: number },
  body: (bench: Bench, store: DedupeStore) => Promise<void>,
) => void

/** Nothing runs, waits or is unsettled. */
export function isIdle(member: Member): boolean {
  const { running, waiting, unsettled } = member.loop.stats()
  return running === 0 && waiting === 0 && unsettled === 0
}
