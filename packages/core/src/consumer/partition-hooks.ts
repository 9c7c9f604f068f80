import type { PartitionAssignment } from '../contract/consumer-driver.js'
import type { PartitionState } from './partition-state.js'

/** Called when partitions are assigned: awaited before their first message is handled. */
export type AssignedHook = (partitions: readonly PartitionAssignment[]) => unknown

/** Called when partitions are revoked: awaited before they are released, as far as time allows. */
export type RevokedHook = (partitions: readonly PartitionAssignment[], how: 'graceful' | 'lost') => unknown

export interface PartitionHooksHost {
  /** Messages of the partitions may be started. */
  dispatch(): void
  /** assigned` has failed: the loop can't continue. */
  fail(error: unknown): void
  /** revoked` has failed: the partitions are released regardless. */
  report(error: unknown): void
}

/** Calls the user's hooks on assignment and revocation of partitions. */
export class PartitionHooks {
  readonly #onAssigned: AssignedHook | undefined
  readonly #onRevoked: RevokedHook | undefined
  readonly #host: PartitionHooksHost

  constructor(onAssigned: AssignedHook | undefined, onRevoked: RevokedHook | undefined, host: PartitionHooksHost) {
    this.#onAssigned = onAssigned
    this.#onRevoked = onRevoked
    this.#host = host
  }

  /** Starts nothing in the partitions until the hook has finished. */
  assigned(partitions: readonly PartitionState[]): void {
    if (this.#onAssigned === undefined || partitions.length === 0) return
    for (const partition of partitions) partition.held = true
    const ready = this.#prepare(partitions)
    for (const partition of partitions) partition.ready = ready
  }

  /**
   * Never rejects. Waits for the `assigned` hook of the partitions first, so that hooks for one partition never
   * overlap.
   */
  async revoked(partitions: readonly PartitionState[], how: 'graceful' | 'lost'): Promise<void> {
    if (this.#onRevoked === undefined || partitions.length === 0) return
    try {
      await Promise.all(partitions.map((partition) => partition.ready))
      await this.#onRevoked(
        partitions.map((partition) => partition.assignment),
        how,
      )
    } catch (error) {
      this.#host.report(error)
    }
  }

  async #prepare(partitions: readonly PartitionState[]): Promise<void> {
    try {
      await this.#onAssigned?.(partitions.map((partition) => partition.assignment))
    } catch (error) {
      // Held for good: the hook did not prepare what handlers need.
      return this.#host.fail(error)
    }
    for (const partition of partitions) partition.held = false
    this.#host.dispatch()
  }
}

/** Checks the hooks' options: a function. */
export function checkHook<Hook>(raw: unknown): { readonly value: Hook } | string {
  return typeof raw === 'function' ? { value: raw as Hook } : 'must be a function of the partitions'
}
