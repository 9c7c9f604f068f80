/** A message in a queue. */
export interface QueuedMessage {
  readonly body: Buffer
  readonly properties: Readonly<Record<string, unknown>>
  /** It was handed out before. */
  delivered: boolean
}

/** A consumer, as its queue knows it. */
export interface QueueConsumer {
  readonly priority: number
  /** So many messages it may hold unacked; 0: any number. */
  readonly prefetch: number
  /** What it holds. */
  readonly held: Set<QueuedMessage>
  deliver(message: QueuedMessage): void
}

/**
 * A quorum queue with a single active consumer, as in RabbitMQ 4: the one with the highest priority is active, among equals the one that has
 * waited longest. A newcomer with a higher priority takes over as soon as the active one holds nothing, which gets nothing more until then, even if
 * the newcomer leaves again. What
 * comes back is handed out before everything else, in the order in which it came back.
 */
export class SingleActiveQueue<Consumer extends QueueConsumer> {
  readonly #ready: QueuedMessage[] = []
  #returned: QueuedMessage[] = []
  /** The highest priority first, then who came first. */
  readonly #waiting: Consumer[] = []
  readonly #activated: (consumer: Consumer) => void
  #active: Consumer | undefined
  /** The active one gets nothing more before it has settled all. */
  #isFading = false

  constructor(activated: (consumer: Consumer) => void) {
    this.#activated = activated
  }

  get active(): Consumer | undefined {
    return this.#active
  }

  get consumers(): readonly Consumer[] {
    return this.#active === undefined ? this.#waiting : [this.#active, ...this.#waiting]
  }

  /** Messages that nobody holds. */
  get messages(): readonly QueuedMessage[] {
    return [...this.#returned, ...this.#ready]
  }

  publish(message: QueuedMessage): void {
    this.#ready.push(message)
    this.#turn()
  }

  register(consumer: Consumer): void {
    this.#wait(consumer)
    this.#turn()
  }

  settle(consumer: Consumer, messages: readonly QueuedMessage[]): void {
    for (const message of messages) consumer.held.delete(message)
    this.#turn()
  }

  /** The consumer's channel is gone: what it holds comes back. */
  remove(consumer: Consumer): void {
    const index = this.#waiting.indexOf(consumer)
    if (index >= 0) this.#waiting.splice(index, 1)
    if (this.#active === consumer) this.#active = undefined
    this.#returned.push(...consumer.held)
    consumer.held.clear()
    this.#turn()
  }

  #wait(consumer: Consumer): void {
    const index = this.#waiting.findIndex(({ priority }) => priority < consumer.priority)
    this.#waiting.splice(index < 0 ? this.#waiting.length : index, 0, consumer)
  }

  #turn(): void {
    const [next] = this.#waiting
    const former = this.#active
    if (former === undefined || former.held.size === 0) this.#isFading = false
    if (next !== undefined && (former === undefined || next.priority > former.priority)) {
      if (former === undefined || former.held.size === 0) this.#activate(next, former)
      else this.#isFading = true
    }
    this.#deliver()
  }

  #activate(next: Consumer, former: Consumer | undefined): void {
    this.#waiting.shift()
    if (former !== undefined) this.#wait(former)
    this.#active = next
    this.#activated(next)
  }

  #deliver(): void {
    const active = this.#active
    if (active === undefined || this.#isFading) return
    while (active.prefetch === 0 || active.held.size < active.prefetch) {
      const message = this.#returned.shift() ?? this.#ready.shift()
      if (message === undefined) return
      active.held.add(message)
      active.deliver(message)
      message.delivered = true
    }
  }
}

/** A classic queue: of attempts, which keeps the newest message only, or of one member's announcements, which are forgotten once delivered. */
export class ClassicQueue {
  readonly maxLength: number
  #messages: QueuedMessage[] = []
  consumer: ((message: QueuedMessage) => void) | undefined

  constructor(maxLength: number) {
    this.maxLength = maxLength
  }

  get length(): number {
    return this.#messages.length
  }

  publish(message: QueuedMessage): void {
    if (this.consumer !== undefined) return this.consumer(message)
    this.#messages.push(message)
    this.#shorten()
  }

  /** Hands out the oldest one. It isn't in the queue until it comes back. */
  get(): QueuedMessage | undefined {
    return this.#messages.shift()
  }

  /** A channel has closed without an ack. */
  putBack(message: QueuedMessage): void {
    message.delivered = true
    this.#messages.unshift(message)
    this.#shorten()
  }

  #shorten(): void {
    while (this.#messages.length > this.maxLength) this.#messages.shift()
  }
}
