import type { PartitionAssignment } from '../contract/consumer-driver.js'
import type { PartitionState } from './partition-state.js'

/** What a user does when partitions come: awaited before their first message is handled. */
export type AssignedHook = (partitions: readonly PartitionAssignment[]) => unknown

/** What a user does when partitions go: awaited before they are let go, where there is still time for it. */
export type RevokedHook = (partitions: readonly PartitionAssignment[], how: 'graceful' | 'lost') => unknown

export interface PartitionHooksHost {
  /** The partitions may be worked on. */
  dispatch(): void
  /** `assigned` has failed: the loop can't go on. */
  fail(error: unknown): void
  /** `revoked` has failed: the partitions go all the same. */
  report(error: unknown): void
}

/** Calls the user's hooks around the time that partitions spend in this member's hands. */
export class PartitionHooks {
  readonly #onAssigned: AssignedHook | undefined
  readonly #onRevoked: RevokedHook | undefined
  readonly #host: PartitionHooksHost

  constructor(onAssigned: AssignedHook | undefined, onRevoked: RevokedHook | undefined, host: PartitionHooksHost) {
    this.#onAssigned = onAssigned
    this.#onRevoked = onRevoked
    this.#host = host
  }

  /** Holds the partitions back until the hook is done with them. */
  assigned(partitions: readonly PartitionState[]): void {
    if (this.#onAssigned === undefined || partitions.length === 0) return
    for (const partition of partitions) partition.held = true
    const ready = this.#prepare(partitions)
    for (const partition of partitions) partition.ready = ready
  }

  /** Never rejects. Waits for the `assigned` hook of the partitions first, so that no two speak of one partition at once. */
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
      // Held for good: what the hook was to prepare isn't there.
      return this.#host.fail(error)
    }
    for (const partition of partitions) partition.held = false
    this.#host.dispatch()
  }
}

/** A function, as the hooks' options take it. */
export function checkHook<Hook>(raw: unknown): { readonly value: Hook } | string {
  return typeof raw === 'function' ? { value: raw as Hook } : 'must be a function of the partitions'
}
