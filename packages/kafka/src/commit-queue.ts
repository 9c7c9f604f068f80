/** One partition's place in the queue: what to commit is asked for when its turn comes. */
export interface Committable<Position> {
  position(): Position
  /** The broker has taken the position. */
  committed(position: Position): void
}

interface Waiter {
  resolve(): void
  reject(error: unknown): void
}

/** Commits of all partitions of a member, one request at a time: whatever comes up meanwhile goes together into the next one. */
export class CommitQueue<Position, Member extends Committable<Position>> {
  readonly #commit: (positions: readonly Position[]) => Promise<void>
  #waiting = new Map<Member, Waiter[]>()
  #busy = false

  constructor(commit: (positions: readonly Position[]) => Promise<void>) {
    this.#commit = commit
  }

  /** Resolves when the member's state, as it is now or later, has been committed. Rejects with the commit's error. */
  request(member: Member): Promise<void> {
    const committed = new Promise<void>((resolve, reject) => {
      const waiters = this.#waiting.get(member)
      if (waiters === undefined) this.#waiting.set(member, [{ resolve, reject }])
      else waiters.push({ resolve, reject })
    })
    if (!this.#busy) {
      this.#busy = true
      // Commits of other partitions that come up in the same turn go along.
      setImmediate(() => void this.#run())
    }
    return committed
  }

  async #run(): Promise<void> {
    while (this.#waiting.size > 0) {
      const due = this.#waiting
      this.#waiting = new Map()
      const positions = new Map([...due.keys()].map((member) => [member, member.position()]))
      try {
        await this.#commit([...positions.values()])
        for (const [member, position] of positions) member.committed(position)
        for (const waiters of due.values()) for (const waiter of waiters) waiter.resolve()
      } catch (error) {
        for (const waiters of due.values()) for (const waiter of waiters) waiter.reject(error)
      }
    }
    this.#busy = false
  }
}
