/** A message that this process has lost with a connection this often may be what cost it the connections. */
const SUSPICIOUS_LOSSES = 3
const MAX_PER_QUEUE = 20_000

/**
 * Messages that this process held when a connection broke. The process is alive, so none of them has killed it: when they come
 * back to it, they need not be handled one at a time.
 */
export class HeldMessages {
  readonly #queues = new Map<string, Map<string, number>>()

  /** These were in this process's hands when it lost the queue. */
  lost(queue: string, ids: Iterable<string>): void {
    let held = this.#queues.get(queue)
    if (held === undefined) {
      held = new Map()
      this.#queues.set(queue, held)
    }
    for (const id of ids) held.set(id, (held.get(id) ?? 0) + 1)
    for (const id of held.keys()) {
      if (held.size <= MAX_PER_QUEUE) break
      held.delete(id)
    }
  }

  /** Whether a message that comes again is known to have done no harm. */
  isHarmless(queue: string, id: string): boolean {
    const losses = this.#queues.get(queue)?.get(id)
    return losses !== undefined && losses < SUSPICIOUS_LOSSES
  }

  settled(queue: string, id: string): void {
    const held = this.#queues.get(queue)
    if (held === undefined) return
    held.delete(id)
    if (held.size === 0) this.#queues.delete(queue)
  }
}
