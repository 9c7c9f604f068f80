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
import { ConnectionGone, ServerError } from './client-patches/server-error.js'
import type { StreamClient } from './client-patches/stream-client.js'
import type { StreamConnection } from './client-patches/stream-connection.js'
import { type ConnectionSource, openClient } from './connection.js'
import { GroupMembership } from './group-membership.js'
import type { StreamConsumerSettings } from './options.js'
import type { PartitionMember } from './partition-member.js'
import { ensureTopic } from './topology.js'

/** Maximum time to leave the group cleanly, in milliseconds. */
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
  #client: StreamClient | undefined
  #membership: GroupMembership | undefined

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

  get waitingFor(): string {
    return this.#client === undefined ? 'the broker to accept the connection' : 'the assignment of its partitions'
  }

  async open(signal: AbortSignal): Promise<void> {
    const client = await openClient(this.#source, this.#events(), signal)
    this.#client = client
    const { topics, brokerGroup, from, options } = this.#spec
    const membership = new GroupMembership({
      client,
      sink: this.#sink,
      group: brokerGroup,
      from,
      options,
      ownEpochs: this.#ownEpochs,
    })
    this.#membership = membership
    for (const topic of topics) {
      const { streams, superStream } = await ensureTopic(client, topic, this.#source, options.bindingKeys)
      for (const [partition, stream] of streams.entries()) {
        await membership.join({ topic: topic.topic, origin: topic.origin, partition, stream, superStream }, signal)
      }
    }
    await membership.joined(signal)
  }

  async commit(assignment: PartitionAssignment, last: Delivery): Promise<void> {
    await this.#open.commit(assignment, last)
  }

  async seek(assignment: PartitionAssignment, position: StartPosition): Promise<void> {
    await this.#open.seek(assignment, position)
  }

  async lag(): Promise<readonly PartitionLag[]> {
    return (await this.#membership?.lag()) ?? []
  }

  async stop(): Promise<void> {
    this.#membership?.stop()
  }

  /** Asks each node that anything is read from. */
  async probe(): Promise<void> {
    const connections = (await this.#client?.connections()) ?? []
    const streams = this.#membership?.streams ?? []
    await Promise.all(connections.map((connection) => connection.probe(new MetadataRequest({ streams }))))
  }

  async close(): Promise<void> {
    const leaving = this.#membership?.leave()
    await Promise.race([leaving, delay(LEAVE_TIMEOUT_MS, undefined, { ref: false })])
    await this.#client?.close()
  }

  get #open(): GroupMembership {
    if (this.#membership === undefined) throw new ConnectionGone('the loop is not connected')
    return this.#membership
  }

  #ownerOf(assignment: PartitionAssignment): PartitionMember {
    return this.#open.ownerOf(assignment)
  }

  #events() {
    return {
      closed: (_: StreamConnection, error: Error) =>
        this.#membership === undefined ? this.#sink.lost(error) : this.#membership.disconnected(error),
      confirmed: () => {},
      refused: () => {},
      streamChanged: (_: StreamConnection, { code, stream }: { code: number; stream: string }) => {
        if (this.#membership?.streams.includes(stream) === true)
          this.#membership.lose(new ServerError(code, `stream '${stream}' was deleted or its leader moved`))
      },
    }
  }
}
