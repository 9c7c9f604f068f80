/** One partition in the queue: what to commit is requested when its turn comes. */
export interface Committable<Position> {
  position(): Position
  /** The broker has confirmed the offset. */
  committed(position: Position): void
}

interface Waiter {
  resolve(): void
  reject(error: unknown): void
}

/**
 * Commits of all partitions of a member, one request at a time: commits requested meanwhile are combined into the next
 * one.
 */
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
      // Commits of other partitions requested in the same turn are included.
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
