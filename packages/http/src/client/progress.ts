import { backoffDelayMs, type OutgoingRecord, RECONNECT_BACKOFF } from '@streamswitch/core/driver'
import type { AttemptNumbers } from '../message.js'
import type { Refusal } from './refusal.js'

/** How far a record that was not accepted everywhere at once has come: who needs it no more, and how often handlers were started. */
export class Progress {
  /** Targets that have accepted it. */
  readonly accepted = new Set<string>()
  /** Groups behind a base URL that have accepted it. */
  readonly acceptedGroups: string[] = []
  readonly #starts = new Map<string, number>()
  readonly #groupStarts = new Map<string, number>()
  readonly #unanswered = new Map<string, number>()
  /** Refusals in a row without a handler start. */
  #refusals = 0
  /** When a receiver first didn't know its topic or group. */
  missingSince: number | undefined

  attempt(target: string): AttemptNumbers {
    if (this.#groupStarts.size === 0) return (this.#starts.get(target) ?? 0) + 1
    return new Map([...this.#groupStarts].map(([group, starts]) => [group, starts + 1]))
  }

  /** Sendings to a target that ended without an answer. */
  unanswered(target: string): number {
    return this.#unanswered.get(target) ?? 0
  }

  /**
   * Returns the minimum wait before the next send, in milliseconds, whatever the other side requests: the sender's own
   * backoff; for a receiver with its own backoff, as loops have, only the first step of it.
   */
  leastWaitMs(refusal: Refusal): number {
    return refusal.isPaced ? RECONNECT_BACKOFF.minDelayMs : backoffDelayMs(RECONNECT_BACKOFF, this.#refusals)
  }

  refused(target: string, refusal: Refusal): void {
    this.#refusals = refusal.starts === undefined ? this.#refusals + 1 : 0
    this.#starts.set(target, count(this.#starts.get(target), refusal))
    if (refusal.ambiguous) this.#unanswered.set(target, this.unanswered(target) + 1)
    for (const [group, one] of refusal.groups ?? [])
      this.#groupStarts.set(group, count(this.#groupStarts.get(group), one))
    for (const group of refusal.accepted) if (!this.acceptedGroups.includes(group)) this.acceptedGroups.push(group)
  }
}

function count(known = 0, { starts = 0 }: Refusal): number {
  return Math.max(known, starts)
}

/**
 * Progress by record. Core hands the same object over in each resend, so a record that has its outcome takes its progress
 * with it, and two sends with one id are kept apart.
 */
export class ProgressTable {
  readonly #table = new WeakMap<OutgoingRecord, Progress>()

  get(record: OutgoingRecord): Progress | undefined {
    return this.#table.get(record)
  }

  of(record: OutgoingRecord): Progress {
    let progress = this.#table.get(record)
    if (progress === undefined) {
      progress = new Progress()
      this.#table.set(record, progress)
    }
    return progress
  }
}
