import { setImmediate as nextTurn } from 'node:timers'

/** Whose timers and frames an event belongs to: a simulated process, the scripted broker, or the simulation itself. */
export class Actor {
  readonly name: string
  /** Its wall clock is so many milliseconds ahead. */
  readonly skewMs: number
  dead = false
  #frozen = false
  readonly #held: VirtualEvent[] = []

  constructor(name: string, skewMs = 0) {
    this.name = name
    this.skewMs = skewMs
  }

  get frozen(): boolean {
    return this.#frozen
  }

  /** Nothing of it runs until it is thawed. */
  freeze(): void {
    this.#frozen = true
  }

  hold(event: VirtualEvent): void {
    this.#held.push(event)
  }

  /** Returns what became due meanwhile, in order. */
  thaw(): VirtualEvent[] {
    this.#frozen = false
    return this.#held.splice(0)
  }
}

/** Something that happens at a virtual time. */
export class VirtualEvent {
  readonly at: number
  readonly order: number
  readonly actor: Actor
  cancelled = false
  readonly #run: () => void

  constructor(at: number, order: number, actor: Actor, run: () => void) {
    this.at = at
    this.order = order
    this.actor = actor
    this.#run = run
  }

  run(): void {
    this.#run()
  }
}

/** What the global timer functions return. */
class VirtualTimer {
  event: VirtualEvent | undefined

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  hasRef(): boolean {
    return true
  }
}

/** Where virtual wall clocks begin, in milliseconds since the epoch. */
const EPOCH_MS = 1_800_000_000_000

const REPLACED = [
  'setTimeout',
  'clearTimeout',
  'setInterval',
  'clearInterval',
  'setImmediate',
  'clearImmediate',
  'Date',
  'performance',
] as const

/**
 * Virtual time for several processes in one. Every event belongs to an actor; what it sets off (timers, frames, promises) belongs to the same
 * one, since all microtasks run before the next event. So a process can be frozen, thawed or killed as a whole, and one seed always
 * gives one order.
 */
export class VirtualClock {
  /** Milliseconds since the start. */
  now = 0
  events = 0
  #heap: VirtualEvent[] = []
  #order = 0
  #current: Actor

  /** @param outside - whose events are those that are scheduled between events. */
  constructor(outside: Actor) {
    this.#current = outside
  }

  /** Whose event is running. */
  get current(): Actor {
    return this.#current
  }

  schedule(delayMs: number, actor: Actor, run: () => void): VirtualEvent {
    this.#order += 1
    const event = new VirtualEvent(this.now + Math.max(0, delayMs), this.#order, actor, run)
    this.#push(event)
    return event
  }

  /** What became due while the actor was frozen happens now. */
  thaw(actor: Actor): void {
    const run = (event: VirtualEvent) => (): void => {
      if (!event.cancelled) event.run()
    }
    for (const event of actor.thaw()) this.schedule(0, actor, run(event))
  }

  /** Runs events up to a time, or until there is a reason to stop. */
  async run(untilMs: number, stop: () => boolean): Promise<void> {
    for (;;) {
      const event = this.#heap[0]
      if (event === undefined || event.at > untilMs || stop()) break
      this.#pop()
      if (event.cancelled || event.actor.dead) continue
      if (event.actor.frozen) {
        event.actor.hold(event)
        continue
      }
      this.now = event.at
      this.events += 1
      const outside = this.#current
      this.#current = event.actor
      event.run()
      // Every promise that the event has settled is followed to its end before the next event.
      await new Promise<void>((resolve) => nextTurn(resolve))
      this.#current = outside
    }
    if (!stop()) this.now = Math.max(this.now, untilMs)
  }

  /** Replaces the global timers and clocks. Returns what restores them. */
  install(): () => void {
    const descriptors = REPLACED.map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const)
    const set = (name: (typeof REPLACED)[number], value: unknown): void => {
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true, enumerable: true })
    }
    const clear = (timer: unknown): void => {
      if (timer instanceof VirtualTimer && timer.event !== undefined) timer.event.cancelled = true
    }
    set('setTimeout', (run: (...args: unknown[]) => void, delayMs = 0, ...args: unknown[]) => {
      const timer = new VirtualTimer()
      timer.event = this.schedule(delayMs, this.#current, () => run(...args))
      return timer
    })
    set('setInterval', (run: (...args: unknown[]) => void, delayMs = 0, ...args: unknown[]) => {
      const timer = new VirtualTimer()
      const next = (actor: Actor): void => {
        timer.event = this.schedule(Math.max(1, delayMs), actor, () => {
          next(actor)
          run(...args)
        })
      }
      next(this.#current)
      return timer
    })
    set('setImmediate', (run: (...args: unknown[]) => void, ...args: unknown[]) => {
      const timer = new VirtualTimer()
      timer.event = this.schedule(0, this.#current, () => run(...args))
      return timer
    })
    set('clearImmediate', clear)
    set('clearTimeout', clear)
    set('clearInterval', clear)
    set('Date', this.#date(Date))
    set('performance', { now: () => this.now })
    return () => {
      for (const [name, descriptor] of descriptors)
        if (descriptor !== undefined) Object.defineProperty(globalThis, name, descriptor)
    }
  }

  #date(real: DateConstructor): DateConstructor {
    const wall = (): number => EPOCH_MS + Math.floor(this.now) + this.#current.skewMs
    return new Proxy(real, {
      construct: (target, args) => Reflect.construct(target, args.length === 0 ? [wall()] : args),
      get: (target, name) => (name === 'now' ? wall : Reflect.get(target, name)),
    })
  }

  #push(event: VirtualEvent): void {
    const heap = this.#heap
    let index = heap.push(event) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (isBefore(heap[parent] as VirtualEvent, event)) break
      heap[index] = heap[parent] as VirtualEvent
      index = parent
    }
    heap[index] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      const right = heap[child + 1]
      if (right !== undefined && isBefore(right, heap[child] as VirtualEvent)) child += 1
      if (isBefore(last, heap[child] as VirtualEvent)) break
      heap[index] = heap[child] as VirtualEvent
      index = child
    }
    heap[index] = last
  }
}

function isBefore(one: VirtualEvent, other: VirtualEvent): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order)
}
