import {
  type OutgoingRecord,
  type ProducerDriver,
  type ProducerReady,
  type ProducerSink,
  type ProducerSpec,
  type PublishBatch,
  StreamError,
} from '@streamswitch/core/driver'
import type { Argument, Connection, Connector } from './connection.js'
import { DurabilityBarrier } from './durability.js'
import { publisherKey, sessionKey, streamKey } from './keys.js'
import { appendRecord } from './message.js'
import { keyOf, nativeFieldsOf } from './native-form.js'
import { LARGEST_PAYLOAD_BYTES, type RedisProducerSettings } from './options.js'
import { partitionOfKey } from './partitioner.js'
import type { ProducerSession } from './producer-session.js'
import { PUBLISH } from './publish-script.js'
import { provisionTopic } from './topic.js'
import { TopicWatch } from './topic-watch.js'

/** How long the server remembers a producer's last record: an outage must be longer for a resend to be stored twice. */
const SESSION_TTL_MS = 600_000

/** More arguments than this would not fit into one call within a script. */
const MAX_HEADERS = 3_000
/** The same for the fields of an entry that is passed on. */
const MAX_FIELDS = 3_900

interface Lane {
  /** Batches without an answer. */
  inFlight: number
  /** Number of the last record that was sent. */
  last: number
}

/** Appends batches to the streams of a topic, one script call per batch and partition. */
export class RedisProducerDriver implements ProducerDriver {
  /** The script refuses a batch whose predecessor isn't stored, so that several may be in flight. */
  readonly maxInFlightBatches = 3
  readonly #connector: Connector
  readonly #spec: ProducerSpec<RedisProducerSettings>
  readonly #session: ProducerSession
  readonly #sink: ProducerSink
  readonly #lanes = new Map<number, Lane>()
  #connection: Connection | undefined
  #barrier: DurabilityBarrier | undefined
  #watch = new TopicWatch([], 'producer')
  #partitions = 1

  constructor(
    connector: Connector,
    spec: ProducerSpec<RedisProducerSettings>,
    session: ProducerSession,
    sink: ProducerSink,
  ) {
    this.#connector = connector
    this.#spec = spec
    this.#session = session
    this.#sink = sink
  }

  get waitingFor(): string {
    return this.#connection === undefined ? 'a primary to answer' : 'the topic'
  }

  async open(signal: AbortSignal): Promise<ProducerReady> {
    const { settings } = this.#connector
    const connection = await this.#connector.connectChecked(
      { role: 'producer', lost: (error) => this.#sink.lost(error) },
      signal,
    )
    this.#connection = connection
    const { partitions, recorded } = await provisionTopic(connection, this.#spec.topic, this.#session.partitions)
    this.#partitions = partitions
    this.#session.partitions = partitions
    this.#watch = new TopicWatch(recorded ? [{ spec: this.#spec.topic, partitions }] : [], 'producer')
    this.#barrier = new DurabilityBarrier(connection, settings.durability, settings.durabilityTimeoutMs)
    const isBounded = this.#spec.topic.role !== 'dead-letters'
    return {
      partitions: this.#partitions,
      maxPayloadBytes: isBounded ? settings.maxPayloadBytes : LARGEST_PAYLOAD_BYTES,
    }
  }

  laneOf(record: OutgoingRecord): number {
    if (record.partition !== undefined) return record.partition
    // Without a key by the id, so that a resend comes to the partition that has its mark.
    return partitionOfKey(keyOf(record) ?? record.id, this.#partitions)
  }

  async publish(batch: PublishBatch): Promise<void> {
    const connection = this.#connection
    if (connection === undefined) throw new Error('Connection is closed.')
    const records = this.#refuse(batch)
    if (records.length === 0) return
    const lane = this.#lane(batch.lane)
    const numbering = this.#session.lane(batch.lane)
    const numbers = numbering.assign(records)
    const after = lane.inFlight === 0 ? '' : String(lane.last)
    lane.inFlight += 1
    lane.last = numbers.at(-1) as number
    try {
      const stored = connection.run(PUBLISH, this.#keys(batch.lane), this.#arguments(records, numbers, after))
      const [reply] = await Promise.all([stored, this.#barrier?.wait()])
      this.#report(batch, reply)
    } catch (error) {
      numbering.failed(records, numbers)
      batch.failAll(error)
    } finally {
      lane.inFlight -= 1
    }
  }

  /** Also finds out when the topic has another number of partitions by now: what goes to the old ones may have no reader. */
  async probe(): Promise<void> {
    const connection = this.#connection
    if (connection === undefined) return
    const checked = this.#watch.check(connection)
    checked.catch(() => {})
    await this.#connector.probe(connection)
    const changed = (await checked).find((finding) => finding.changed)
    if (changed !== undefined) this.#sink.lost(changed.error)
  }

  async close(): Promise<void> {
    this.#connection?.close()
    this.#connection = undefined
  }

  /** Refuses what can't be sent and returns the rest. */
  #refuse(batch: PublishBatch): readonly OutgoingRecord[] {
    const problems = batch.records.map((record) => this.#problem(record))
    if (problems.every((problem) => problem === undefined)) return batch.records
    for (const [index, problem] of problems.entries()) if (problem !== undefined) batch.fail(index, problem)
    return batch.records.filter((_record, index) => problems[index] === undefined)
  }

  #lane(number: number): Lane {
    let lane = this.#lanes.get(number)
    if (lane === undefined) {
      lane = { inFlight: 0, last: 0 }
      this.#lanes.set(number, lane)
    }
    return lane
  }

  #keys(partition: number): string[] {
    const stream = streamKey(this.#spec.topic.brokerTopic, partition, this.#partitions)
    const session = sessionKey(stream, this.#session.id)
    const { publisherName } = this.#spec.options
    return [stream, session, publisherName === undefined ? session : publisherKey(stream, publisherName)]
  }

  #arguments(records: readonly OutgoingRecord[], numbers: readonly number[], after: string): Argument[] {
    const first = numbers[0] as number
    const contiguous = numbers.at(-1) === first + numbers.length - 1
    const sequenced = this.#spec.options.publisherName !== undefined
    const args: Argument[] = [
      after,
      SESSION_TTL_MS,
      contiguous ? first : `${numbers.join(',')},`,
      numbers.at(-1) as number,
      sequenced ? records.map((record) => record.sequence ?? '-').join(',') : '',
    ]
    for (const record of records) appendRecord(args, record)
    return args
  }

  #report(batch: PublishBatch, reply: unknown): void {
    if (!Array.isArray(reply))
      throw new StreamError('an earlier batch failed: this one waits for it', {
        code: 'UNAVAILABLE',
        transport: 'redis',
        operation: 'send',
      })
    const [outcome, first, last, skipped] = (reply as Buffer[]).map(String)
    if (outcome === 'all' || first === undefined || last === undefined || skipped !== '' || first === '')
      return batch.acceptAll(batch.lane)
    const [time, sequence] = first.split('-') as [string, string]
    const base = Number(sequence)
    const count = batch.records.length
    // Within one script the server's clock stands still, so that ids are consecutive; otherwise they aren't told.
    if (last !== `${time}-${base + count - 1}`) return batch.acceptAll(batch.lane)
    for (let index = 0; index < count; index += 1) batch.accept(index, batch.lane, `${time}-${base + index}`)
  }

  #problem(record: OutgoingRecord): StreamError | undefined {
    const { sequence, headers } = record
    const { publisherName } = this.#spec.options
    const problem = (message: string): StreamError =>
      new StreamError(message, {
        code: 'INVALID_ARGUMENT',
        transport: 'redis',
        topic: this.#spec.topic.topic,
        operation: 'send',
      })
    if (sequence !== undefined && publisherName === undefined)
      return problem("a sequence needs a publisherName: producer(topic, { redis: { publisherName: '…' } })")
    if (sequence !== undefined && (sequence < 0n || sequence > BigInt(Number.MAX_SAFE_INTEGER)))
      return problem(`sequence must be from 0 to ${Number.MAX_SAFE_INTEGER}, got ${sequence}`)
    if (headers !== undefined && Object.keys(headers).length > MAX_HEADERS)
      return problem(`a message may have at most ${MAX_HEADERS} headers`)
    const fields = record.original === undefined ? 0 : (nativeFieldsOf(record)?.length ?? 0) / 2
    if (fields > MAX_FIELDS)
      return problem(`an entry of ${fields} fields can't be written again: at most ${MAX_FIELDS} fit into one call`)
    return undefined
  }
}
