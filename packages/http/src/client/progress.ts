import type { OutgoingRecord } from '@streamswitch/core/driver'
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
  /** When a receiver first didn't know its topic or group. */
  missingSince: number | undefined

  attempt(target: string): AttemptNumbers {
    if (this.#groupStarts.size === 0) return (this.#starts.get(target) ?? 0) + 1
    return new Map([...this.#groupStarts].map(([group, starts]) => [group, starts + 1]))
  }

  refused(target: string, refusal: Refusal): void {
    this.#starts.set(target, count(this.#starts.get(target), refusal))
    for (const [group, one] of refusal.groups ?? [])
      this.#groupStarts.set(group, count(this.#groupStarts.get(group), one))
    for (const group of refusal.accepted) if (!this.acceptedGroups.includes(group)) this.acceptedGroups.push(group)
  }
}

function count(known: number | undefined, refusal: Refusal): number {
  // Whoever doesn't know whether a handler was started must count it: a message that kills its handlers would go on for ever.
  return Math.max(known ?? 0, refusal.starts ?? (known ?? 0) + (refusal.ambiguous ? 1 : 0))
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
