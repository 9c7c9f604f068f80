/** How long to wait for a join, in milliseconds. */
const PATIENCE_MS = 3_000

/**
 * A join takes as long as other members need to finish their handlers, which may be longer than a connection may take
 * to open. After a while the waiting member counts as joined: the group exists and has its offsets, so it misses no
 * message.
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
   * @param leads - returns whether the others have joined, and the coordinator only has to store what this member,
   *   their leader, has assigned. If that takes long the coordinator has a problem (for example too few replicas of its
   *   topic), and the member has not joined.
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
