import type { Delivery, PartitionAssignment, PartitionLag, StartPosition } from '@streamswitch/core/driver'
import { partitionGone } from './errors.js'
import { OrphanWatch } from './orphan-watch.js'
import { type MemberContext, PartitionMember, type PartitionName } from './partition-member.js'
import { whenAvailable } from './topology.js'

/** How long the first assignment is waited for where other members may own everything, in milliseconds. */
const FIRST_ASSIGNMENT_MS = 250
const POLL_MS = 25

/** What the members of one loop share, and what ends with the first error. */
export type MembershipSettings = Omit<MemberContext, 'lost'>

/**
 * A loop's membership in the groups of its topics, for the lifetime of its client: one {@link PartitionMember} per
 * partition, and their watch.
 */
export class GroupMembership {
  readonly #context: MemberContext
  readonly #members: PartitionMember[] = []
  readonly #watch: OrphanWatch
  #lost: { readonly error: unknown } | undefined

  constructor(settings: MembershipSettings) {
    this.#context = { ...settings, lost: (error) => this.lose(error) }
    this.#watch = new OrphanWatch(this.#members, (error) => this.lose(error))
  }

  /** Becomes a candidate for a partition. */
  async join(name: PartitionName, signal: AbortSignal): Promise<void> {
    const member = new PartitionMember(name, this.#context)
    this.#members.push(member)
    await whenAvailable(signal, () => member.join())
  }

  /** Waits for what this member gets at once, and until every partition's starting position is fixed, here or by another member. */
  async joined(signal: AbortSignal): Promise<void> {
    // A partition may lack an owner from the group's first moment on: then its start would not be fixed.
    this.#watch.start()
    for (let waited = 0; waited < FIRST_ASSIGNMENT_MS && !this.#ownsAny(); waited += POLL_MS) {
      await delay(POLL_MS, signal)
    }
    for (const member of this.#members) {
      while (!(await member.positioned())) {
        if (this.#lost !== undefined) throw this.#lost.error
        await delay(POLL_MS, signal)
      }
    }
    if (!this.#ownsAny()) this.#context.sink.assigned([])
  }

  get streams(): string[] {
    return this.#members.map(({ name }) => name.stream)
  }

  /** One of the client's connections is gone: others may own the partitions by now, so that nothing is stored any more. */
  disconnected(error: unknown): void {
    for (const member of this.#members) member.end()
    this.lose(error)
  }

  /** Everything ends with the first error: core is notified once, and replaces the driver. */
  lose(error: unknown): void {
    if (this.#lost !== undefined) return
    this.#lost = { error }
    this.#context.sink.lost(error)
  }

  /** Throws ABORTED where the assignment has ended. */
  ownerOf(assignment: PartitionAssignment): PartitionMember {
    const owner = this.#members.find((member) => member.owns(assignment))
    if (owner === undefined) throw partitionGone(assignment.topic, assignment.partition)
    return owner
  }

  async commit(assignment: PartitionAssignment, last: Delivery): Promise<void> {
    await this.ownerOf(assignment).commit(last)
  }

  async seek(assignment: PartitionAssignment, position: StartPosition): Promise<void> {
    await this.ownerOf(assignment).seek(position)
  }

  lag(): Promise<readonly PartitionLag[]> {
    return Promise.all(this.#members.map((member) => member.lag()))
  }

  stop(): void {
    for (const member of this.#members) member.stop()
  }

  /** Leaves in good order. Never rejects; may take as long as handlers and broker do. */
  async leave(): Promise<void> {
    this.#watch.stop()
    await Promise.all(this.#members.map((member) => member.leave()))
  }

  #ownsAny(): boolean {
    return this.#members.some((member) => member.active)
  }
}

/** Waits by the global timers, which tests can replace. */
function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const abort = (): void => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort)
      resolve()
    }, ms)
    signal.addEventListener('abort', abort, { once: true })
  })
}
