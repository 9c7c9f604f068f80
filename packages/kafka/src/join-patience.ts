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

  /** The member asks to join now. */
  start(): void {
    this.stop()
    this.#timer = setTimeout(this.#resolve, PATIENCE_MS)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
