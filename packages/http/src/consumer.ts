import {
  type ConsumerDriver,
  type ConsumerSink,
  type ConsumerSpec,
  type Delivery,
  type PartitionAssignment,
  StreamError,
  withSignal,
} from '@streamswitch/core/driver'
import type { HttpConsumerOptionValues } from './options.js'
import type { Lease } from './server/listener.js'
import { Member } from './server/member.js'
import { handlerProblem, problems } from './wire/problem.js'

/** Rises with each opening in this process. */
let epochs = 0

/** Receives the requests for a group of one or several topics; each is answered when its message has its outcome. */
export class HttpConsumerDriver implements ConsumerDriver {
  readonly settlement = 'individual'
  readonly redelivery = 'sender'
  readonly settleIntervalMs = 0
  readonly #spec: ConsumerSpec<HttpConsumerOptionValues>
  readonly #sink: ConsumerSink
  readonly #basePath: string
  readonly #listen: (report: (error: unknown) => void) => Promise<Lease>
  readonly #members = new Map<PartitionAssignment, Member>()
  #leave: (() => void)[] = []
  #opening: Promise<Lease> | undefined
  #stopped = false

  constructor(
    spec: ConsumerSpec<HttpConsumerOptionValues>,
    sink: ConsumerSink,
    basePath: string,
    listen: (report: (error: unknown) => void) => Promise<Lease>,
  ) {
    this.#spec = spec
    this.#sink = sink
    this.#basePath = basePath
    this.#listen = listen
  }

  async open(signal: AbortSignal): Promise<void> {
    this.#opening = this.#listen((error) => this.#sink.report(error))
    const opening = this.#opening
    const { hub } = await withSignal(opening, signal)
    // Closed meanwhile: a member that joined now would take messages that are never handled.
    if (this.#stopped || this.#opening !== opening) throw closedWhileOpening()
    epochs += 1
    const { topics, group, brokerGroup, member, ordering, options, maxAttempts = Number.MAX_SAFE_INTEGER } = this.#spec
    const { maxWaitingRecords, maxWaitingBytes } = options
    const settings = {
      name: member,
      group: brokerGroup,
      ownGroup: group,
      ordering,
      takesGet: options.method === 'GET',
      takesBrowsers: options.allowBrowsers,
      maxAttempts,
      maxWaitingRecords,
      maxWaitingBytes,
    }
    for (const { topic, origin } of topics) {
      const assignment = { topic, origin, partition: 0, epoch: epochs }
      this.#members.set(assignment, new Member(assignment, settings, this.#sink))
    }
    this.#sink.assigned([...this.#members.keys()])
    for (const [{ topic }, one] of this.#members) {
      const { brokerTopic } = topics.find((spec) => spec.topic === topic) as (typeof topics)[number]
      this.#leave.push(hub.join(`${this.#basePath}/${brokerTopic}`, brokerGroup, one))
    }
  }

  async ack(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    const member = this.#members.get(assignment)
    for (const delivery of deliveries) member?.settle(delivery, 'accepted')
  }

  async reject(
    assignment: PartitionAssignment,
    delivery: Delivery,
    error: unknown,
    retryAfterMs: number | undefined,
  ): Promise<void> {
    const { errorDetail } = this.#spec.options
    this.#members
      .get(assignment)
      ?.settle(delivery, handlerProblem(error, { attempt: delivery.attempt, retryAfterMs, errorDetail }))
  }

  async release(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    const member = this.#members.get(assignment)
    for (const delivery of deliveries) member?.settle(delivery, problems.closing())
  }

  async stop(): Promise<void> {
    this.#stopped = true
    for (const member of this.#members.values()) member.stop()
  }

  async close(): Promise<void> {
    for (const member of this.#members.values()) member.close()
    for (const leave of this.#leave) leave()
    this.#leave = []
    const opening = this.#opening
    this.#opening = undefined
    const lease = await opening?.catch(() => undefined)
    await lease?.release()
  }
}

function closedWhileOpening(): StreamError {
  return new StreamError('the loop was closed while opening', {
    code: 'CLOSED',
    retryable: false,
    transport: 'http',
    operation: 'open',
  })
}
