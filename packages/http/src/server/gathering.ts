import type { InboundRecord } from '../message.js'
import { type Outcome, type Problem, problems, worst } from '../wire/problem.js'
import type { GroupInbox } from './group-inbox.js'

/** Who didn't accept a record, by group; empty: everybody did. */
export type Refused = ReadonlyMap<string, Problem>

/**
 * Hands the records of one request to the groups it is for and gathers the answers. In a group that keeps order, a record waits
 * for the one of its key ahead of it; when that one is refused, those behind it are refused too, so that none overtakes it.
 */
export class Gathering {
  readonly #records: readonly InboundRecord[]
  readonly #report: (index: number, refused: Refused) => void
  readonly #waiting: number[]
  readonly #refused: (Map<string, Problem> | undefined)[]
  #abandoned = false

  constructor(records: readonly InboundRecord[], report: (index: number, refused: Refused) => void) {
    this.#records = records
    this.#report = report
    this.#waiting = new Array<number>(records.length).fill(0)
    this.#refused = new Array<Map<string, Problem> | undefined>(records.length).fill(undefined)
  }

  /** Hands them over, step by step, in order within each key. */
  *start(inboxes: readonly GroupInbox[]): Generator<void, void, undefined> {
    for (const [index, record] of this.#records.entries()) {
      const wanted = wantedGroups(record, inboxes).length
      this.#waiting[index] = wanted
      // Every group has it already.
      if (wanted === 0) this.#report(index, NOBODY)
      yield
    }
    for (const inbox of inboxes) yield* this.#startGroup(inbox)
  }

  /** The client is gone: what has begun goes on, what waits for its predecessor is not begun. */
  abandon(): void {
    this.#abandoned = true
  }

  *#startGroup(inbox: GroupInbox): Generator<void, void, undefined> {
    const chains = new Map<string, number[]>()
    const free: number[] = []
    const { ordered } = inbox
    for (const [index, record] of this.#records.entries()) {
      yield
      if (record.except.includes(inbox.group)) continue
      const chain = ordered && record.key !== undefined ? chains.get(record.key) : undefined
      if (chain !== undefined) chain.push(index)
      else if (ordered && record.key !== undefined) chains.set(record.key, [index])
      else free.push(index)
    }
    for (const index of free) {
      if (this.#abandoned) return
      this.#submit(inbox, [index], 0)
      yield
    }
    for (const chain of chains.values()) {
      if (this.#abandoned) return
      this.#submit(inbox, chain, 0)
      yield
    }
  }

  /** Submits the records of a chain from a position on, each when the one before it is accepted. */
  #submit(inbox: GroupInbox, chain: readonly number[], first: number): void {
    // As a loop where answers come at once: a chain may be as long as a request.
    for (let position = first, isWaiting = false; !isWaiting && position < chain.length; position += 1) {
      const index = chain[position] as number
      let isReturned = false
      isWaiting = true
      inbox.submit(this.#records[index] as InboundRecord, (outcome) => {
        this.#answered(index, inbox.group, outcome)
        if (outcome !== 'accepted' || this.#abandoned) this.#refuseRest(inbox, chain, position + 1)
        else if (isReturned) this.#submit(inbox, chain, position + 1)
        else isWaiting = false
      })
      isReturned = true
    }
  }

  #refuseRest(inbox: GroupInbox, chain: readonly number[], first: number): void {
    for (let position = first; position < chain.length; position += 1)
      this.#answered(chain[position] as number, inbox.group, problems.predecessorFailed())
  }

  #answered(index: number, group: string, outcome: Outcome): void {
    if (outcome !== 'accepted') {
      const refused = this.#refused[index] ?? new Map<string, Problem>()
      refused.set(group, outcome)
      this.#refused[index] = refused
    }
    const left = (this.#waiting[index] as number) - 1
    this.#waiting[index] = left
    if (left === 0) this.#report(index, this.#refused[index] ?? NOBODY)
  }
}

const NOBODY: Refused = new Map()

function wantedGroups({ except }: InboundRecord, inboxes: readonly GroupInbox[]): readonly GroupInbox[] {
  return except.length === 0 ? inboxes : inboxes.filter(({ group }) => !except.includes(group))
}

/**
 * Returns the problem reported for a record: with the outcome in each of `groups`, if the request was for all of them.
 */
export function toProblem(
  refused: Refused,
  record: InboundRecord,
  groups: readonly GroupInbox[] | undefined,
): Problem & { readonly groups?: Record<string, Problem | { readonly status: number }> } {
  const problem = worst([...refused.values()]) ?? problems.internal()
  if (groups === undefined) return problem
  const outcomes = wantedGroups(record, groups).map(
    ({ group }) => [group, refused.get(group) ?? { status: 204 }] as const,
  )
  return { ...problem, groups: Object.fromEntries(outcomes) }
}
