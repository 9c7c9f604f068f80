/** How long a join is waited for, in milliseconds. */
const PATIENCE_MS = 3_000

/**
 * A join takes as long as other members need to finish what they run, which may be longer than a connection may take to open.
 * After a while the waiting member counts as joined: the group exists and has its positions, so nothing passes it by.
 */
export class JoinPatience {
  /** Resolves when the join has taken long. */
  readonly promise: Promise<void>
  #resolve: () => void = () => {}
  #timer: NodeJS.Timeout | undefined

  constructor() {
    this.promise = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  /**
   * The member asks to join now.
   *
   * @param leads - says whether the others have joined, and the coordinator only has to store what this member, their leader, has assigned. Where that
   * takes long the coordinator is in trouble (too few replicas of its topic, for one), and the member has not joined.
   */
  start(leads: () => boolean): void {
    this.stop()
    this.#timer = setTimeout(() => {
      if (!leads()) this.#resolve()
    }, PATIENCE_MS)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
