import type { InboundRecord } from '../message.js'
import { type Outcome, type Problem, problems, worst } from '../wire/problem.js'
import type { GroupInbox } from './group-inbox.js'

/** What became of one record in every group that a request was for. */
export interface RecordOutcome {
  /** Who didn't accept it, by group; empty: everybody did. */
  readonly refused: ReadonlyMap<string, Problem>
  readonly accepted: readonly string[]
}

/**
 * Hands the records of one request to the groups it is for and gathers the answers. In a group that keeps order, a record waits
 * for the one of its key ahead of it; when that one is refused, those behind it are refused too, so that none overtakes it.
 */
export class Gathering {
  readonly #records: readonly InboundRecord[]
  readonly #report: (index: number, outcome: RecordOutcome) => void
  readonly #waiting: number[]
  readonly #refused: (Map<string, Problem> | undefined)[]
  readonly #accepted: string[][]
  #abandoned = false

  constructor(records: readonly InboundRecord[], report: (index: number, outcome: RecordOutcome) => void) {
    this.#records = records
    this.#report = report
    this.#waiting = new Array<number>(records.length).fill(0)
    this.#refused = new Array<Map<string, Problem> | undefined>(records.length).fill(undefined)
    this.#accepted = records.map(() => [])
  }

  start(inboxes: readonly GroupInbox[]): void {
    for (const [index, record] of this.#records.entries()) {
      const wanted = inboxes.filter(({ group }) => !record.except.includes(group)).length
      this.#waiting[index] = wanted
      // Every group has it already.
      if (wanted === 0) this.#report(index, { refused: NOBODY, accepted: [] })
    }
    for (const inbox of inboxes) this.#startGroup(inbox)
  }

  /** The client is gone: what has begun goes on, what waits for its predecessor is not begun. */
  abandon(): void {
    this.#abandoned = true
  }

  #startGroup(inbox: GroupInbox): void {
    const chains = new Map<string, number[]>()
    const free: number[] = []
    const { ordered } = inbox
    for (const [index, record] of this.#records.entries()) {
      if (record.except.includes(inbox.group)) continue
      const chain = ordered && record.key !== undefined ? chains.get(record.key) : undefined
      if (chain !== undefined) chain.push(index)
      else if (ordered && record.key !== undefined) chains.set(record.key, [index])
      else free.push(index)
    }
    for (const index of free) this.#submit(inbox, index, undefined, 0)
    for (const chain of chains.values()) this.#submit(inbox, chain[0] as number, chain, 0)
  }

  #submit(inbox: GroupInbox, index: number, chain: readonly number[] | undefined, position: number): void {
    inbox.submit(this.#records[index] as InboundRecord, (outcome) => {
      this.#answered(index, inbox.group, outcome)
      const next = chain?.[position + 1]
      if (chain === undefined || next === undefined) return
      if (outcome === 'accepted' && !this.#abandoned) return this.#submit(inbox, next, chain, position + 1)
      for (const behind of chain.slice(position + 1)) this.#answered(behind, inbox.group, problems.predecessorFailed())
    })
  }

  #answered(index: number, group: string, outcome: Outcome): void {
    if (outcome === 'accepted') this.#accepted[index]?.push(group)
    else {
      const refused = this.#refused[index] ?? new Map<string, Problem>()
      refused.set(group, outcome)
      this.#refused[index] = refused
    }
    const left = (this.#waiting[index] as number) - 1
    this.#waiting[index] = left
    if (left === 0)
      this.#report(index, { refused: this.#refused[index] ?? NOBODY, accepted: this.#accepted[index] ?? [] })
  }
}

const NOBODY: ReadonlyMap<string, Problem> = new Map()

/** The problem that is told of a record: with those of each group where the request was for all of them. */
export function toProblem(
  { refused, accepted }: RecordOutcome,
  forAllGroups: boolean,
): Problem & { readonly groups?: Record<string, Problem | { readonly status: number }> } {
  const problem = worst([...refused.values()]) ?? problems.internal()
  if (!forAllGroups) return problem
  const groups: Record<string, Problem | { readonly status: number }> = {}
  for (const group of accepted) groups[group] = { status: 204 }
  for (const [group, one] of refused) groups[group] = one
  return { ...problem, groups }
}
