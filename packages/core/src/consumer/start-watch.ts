import type { ConsumerSpec } from '../contract/adapter.js'
import type { OutOfRange, PartitionAssignment } from '../contract/consumer-driver.js'
import { StreamError } from '../errors.js'
import type { Events } from '../events.js'
import type { Logger } from '../logger.js'
import type { ConsumerEvents } from './consumer-events.js'

export interface StartWatchSettings {
  readonly subject: string
  readonly transport: string
  readonly logger: Logger
  readonly spec: ConsumerSpec
  readonly policy: 'earliest' | 'latest' | 'stop'
  readonly events: Events<ConsumerEvents>
  fail(error: StreamError): void
}

/** Reports when a loop did not start as its `from` says, and decides what follows an offset that doesn't exist. */
export class StartWatch {
  readonly #settings: StartWatchSettings
  /** Topics whose ignored `from` was reported. A reconnected loop resumes where it was, and reports nothing. */
  readonly #told = new Set<string>()
  #joined = false

  constructor(settings: StartWatchSettings) {
    this.#settings = settings
  }

  /** Reports it; throws when the policy is to stop. */
  outOfRange({ topic, partition, offset, first, last }: OutOfRange): 'earliest' | 'latest' {
    const { subject, transport, policy, events, fail } = this.#settings
    const follows = policy === 'stop' ? 'the loop ends' : `resuming at ${policy}`
    const holds = first === undefined ? 'no message' : `offsets ${first} to ${last}`
    const error = new StreamError(
      `${subject}: partition ${partition} of '${topic}' holds ${holds}, and offset ${offset} is outside; ${follows} (outOfRange)`,
      { code: 'NOT_FOUND', retryable: false, transport, topic, operation: 'consume' },
    )
    if (policy === 'stop') {
      fail(error)
      throw error
    }
    events.emit('error', error)
    return policy
  }

  ignored(topic: string): void {
    const { subject, logger, spec, events } = this.#settings
    if (spec.from === undefined || this.#joined || this.#told.has(topic)) return
    this.#told.add(topic)
    logger.warn(
      `${subject}: 'from' is ignored: group '${spec.group}' has a committed offset in '${topic}' and resumes there; use seek() to move it`,
    )
    events.emit('startIgnored', { topic, reason: 'position' })
  }

  /**
   * The loop has joined with its first partitions: start offsets given for other partitions are not applied by this
   * member now.
   */
  joined(assignments: readonly PartitionAssignment[]): void {
    const { subject, logger, spec, events } = this.#settings
    if (this.#joined) return
    this.#joined = true
    if (typeof spec.from !== 'object' || !('partitions' in spec.from)) return
    const given = [...spec.from.partitions.keys()]
    for (const { topic } of spec.topics) {
      const own = new Set(assignments.filter((one) => one.topic === topic).map((one) => one.partition))
      const others = given.filter((partition) => !own.has(partition))
      if (others.length === 0) continue
      logger.warn(
        `${subject}: 'from' names ${others.length === 1 ? 'partition' : 'partitions'} ${others.join(', ')} of '${topic}', not assigned to this member now`,
      )
      events.emit('startIgnored', { topic, reason: 'unassigned' })
    }
  }
}
