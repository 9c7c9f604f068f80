import { setTimeout as delay } from 'node:timers/promises'
import type {
  AttemptJournal,
  ConsumerDriver,
  ConsumerSink,
  ConsumerSpec,
  Delivery,
  PartitionAssignment,
  PartitionLag,
  StartPosition,
} from '@streamswitch/core/driver'
import { MetadataRequest } from 'rabbitmq-stream-js-client/dist/requests/metadata_request.js'
import { ServerError } from './client-patches/server-error.js'
import type { StreamClient } from './client-patches/stream-client.js'
import type { StreamConnection } from './client-patches/stream-connection.js'
import { type ConnectionSource, openClient } from './connection.js'
import { partitionGone } from './errors.js'
import type { StreamConsumerSettings } from './options.js'
import { OrphanWatch } from './orphan-watch.js'
import { type MemberContext, PartitionMember } from './partition-member.js'
import { ensureTopic, whenAvailable } from './topology.js'

/** How long the first assignment is waited for where other members may own everything, in milliseconds. */
const FIRST_ASSIGNMENT_MS = 250
const POLL_MS = 25
/** Longest time to leave the group in good order, in milliseconds. */
const LEAVE_TIMEOUT_MS = 2_000

/** A loop's membership in the groups of its topics, over one client. */
export class StreamConsumerDriver implements ConsumerDriver {
  readonly settlement = 'cumulative'
  readonly redelivery = 'core'
  readonly settleIntervalMs: number
  readonly attempts: AttemptJournal = {
    starting: async (assignment, delivery, attempt) => this.#ownerOf(assignment).note(delivery, attempt),
    failed: async (assignment, delivery, attempt) => this.#ownerOf(assignment).note(delivery, attempt),
  }
  readonly #source: ConnectionSource
  readonly #spec: ConsumerSpec<StreamConsumerSettings>
  readonly #sink: ConsumerSink
  readonly #ownEpochs: Map<string, number>
  readonly #members: PartitionMember[] = []
  #client: StreamClient | undefined
  #watch: OrphanWatch | undefined
  #lost: { readonly error: unknown } | undefined

  constructor(
    source: ConnectionSource,
    spec: ConsumerSpec<StreamConsumerSettings>,
    sink: ConsumerSink,
    ownEpochs: Map<string, number>,
  ) {
    this.#source = source
    this.#spec = spec
    this.#sink = sink
    this.#ownEpochs = ownEpochs
    this.settleIntervalMs = spec.options.commitIntervalMs
  }

  async open(signal: AbortSignal): Promise<void> {
    const client = await openClient(this.#source, this.#events(), signal)
    this.#client = client
    for (const topic of this.#spec.topics) {
      const { streams, superStream } = await ensureTopic(client, topic, this.#source, this.#spec.options.bindingKeys)
      for (const [partition, stream] of streams.entries()) {
        const member = new PartitionMember(
          { topic: topic.topic, partition, stream, superStream },
          this.#context(client),
        )
        this.#members.push(member)
        await whenAvailable(signal, () => member.join())
      }
    }
    await this.#joined(signal)
    this.#watch = new OrphanWatch(this.#members, (error) => this.#lose(error))
    this.#watch.start()
  }

  async commit(assignment: PartitionAssignment, last: Delivery): Promise<void> {
    await this.#ownerOf(assignment).commit(last)
  }

  async seek(assignment: PartitionAssignment, position: StartPosition): Promise<void> {
    await this.#ownerOf(assignment).seek(position)
  }

  async lag(): Promise<readonly PartitionLag[]> {
    return Promise.all(this.#members.map((member) => member.lag()))
  }

  async stop(): Promise<void> {
    for (const member of this.#members) member.stop()
  }

  /** Asks each node that anything is read from. */
  async probe(): Promise<void> {
    const connections = (await this.#client?.connections()) ?? []
    const streams = this.#members.map(({ name }) => name.stream)
    await Promise.all(connections.map((connection) => connection.probe(new MetadataRequest({ streams }))))
  }

  async close(): Promise<void> {
    this.#watch?.stop()
    const leaving = Promise.all(this.#members.map((member) => member.leave()))
    await Promise.race([leaving, delay(LEAVE_TIMEOUT_MS, undefined, { ref: false })])
    await this.#client?.close()
  }

  /** Waits for what this member gets at once, and until every partition's starting position is fixed, here or by another member. */
  async #joined(signal: AbortSignal): Promise<void> {
    for (
      let waited = 0;
      waited < FIRST_ASSIGNMENT_MS && !this.#members.some((member) => member.active);
      waited += POLL_MS
    ) {
      await delay(POLL_MS, undefined, { signal })
    }
    for (const member of this.#members) {
      while (!(await member.positioned())) {
        if (this.#lost !== undefined) throw this.#lost.error
        await delay(POLL_MS, undefined, { signal })
      }
    }
    if (!this.#members.some((member) => member.active)) this.#sink.assigned([])
  }

  #ownerOf(assignment: PartitionAssignment): PartitionMember {
    const owner = this.#members.find((member) => member.owns(assignment))
    if (owner === undefined) throw partitionGone(assignment.topic, assignment.partition)
    return owner
  }

  #context(client: StreamClient): MemberContext {
    return {
      client,
      sink: this.#sink,
      group: this.#spec.brokerGroup,
      from: this.#spec.from,
      options: this.#spec.options,
      ownEpochs: this.#ownEpochs,
      lost: (error) => this.#lose(error),
    }
  }

  #lose(error: unknown): void {
    if (this.#lost !== undefined) return
    this.#lost = { error }
    this.#sink.lost(error)
  }

  #events() {
    return {
      closed: (_: StreamConnection, error: Error) => this.#lose(error),
      confirmed: () => {},
      refused: () => {},
      streamChanged: (_: StreamConnection, { code, stream }: { code: number; stream: string }) => {
        if (this.#members.some(({ name }) => name.stream === stream))
          this.#lose(new ServerError(code, `stream '${stream}' was deleted or its leader moved`))
      },
    }
  }
}
