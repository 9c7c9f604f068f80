import {
  type IncomingReply,
  isInboxBelow,
  type OutgoingRecord,
  type ProducerDriver,
  type ProducerReady,
  type ProducerSink,
  type PublishBatch,
  type ReplyChannel,
  type ReplyInboxDriver,
  type ReplyInboxSink,
  type ReplyInboxSpec,
  StreamError,
} from '@streamswitch/core/driver'
import type { Argument, Connection, Connector } from './connection.js'
import { classifyError } from './errors.js'
import { appendRecord, type RawEntry, readReply } from './message.js'

/** How long a read waits for the next reply, in milliseconds. */
const BLOCK_MS = 5_000
const READ_COUNT = 500
/** Approximate number of entries kept in an inbox. */
const KEPT = 100_000

/**
 * Replies by one stream per caller, which only the caller reads, without a group. The stream expires when its caller
 * has been silent for the lifetime of replies.
 */
export function redisReplies(connector: Connector): ReplyChannel {
  return {
    inbox: (spec, sink) => new RedisInbox(connector, spec, sink),
    sender: (_spec, sink) => new RedisReplySender(connector, sink),
    refusalOf: ({ inbox, brokerName }) =>
      isInboxBelow(`${brokerName}:`, inbox) ? undefined : `replies can only be sent to keys '${brokerName}:…'`,
  }
}

class RedisInbox implements ReplyInboxDriver {
  readonly #connector: Connector
  readonly #spec: ReplyInboxSpec
  readonly #sink: ReplyInboxSink
  readonly #key: string
  #reading: Connection | undefined
  #control: Connection | undefined
  #loop: Promise<void> | undefined
  #closed = false

  constructor(connector: Connector, spec: ReplyInboxSpec, sink: ReplyInboxSink) {
    this.#connector = connector
    this.#spec = spec
    this.#sink = sink
    this.#key = `${spec.brokerName}:${spec.instance}`
  }

  async open(signal: AbortSignal): Promise<string> {
    const lost = (error: unknown): void => this.#sink.lost(error)
    const [control, reading] = await Promise.all([
      this.#connector.connectChecked({ role: 'replies', lost }, signal),
      this.#connector.connect({ role: 'replies reader', lost, blockMs: BLOCK_MS }, signal),
    ])
    this.#control = control
    this.#reading = reading
    await this.#make(control)
    this.#loop = this.#read(reading)
    return this.#key
  }

  /** Renews the stream's expiry, and trims it. A lost stream (data loss, a long absence) is recreated. */
  async probe(): Promise<void> {
    const control = this.#control
    if (control === undefined) return
    const there = await control.call('PEXPIRE', this.#key, this.#spec.ttlMs)
    if (Number(there) === 0) await this.#make(control)
    // Entries that were read are no longer needed.
    else await control.call('XTRIM', this.#key, 'MINID', '~', String(this.#spec.progress.position ?? '0-0'))
  }

  async close(final: boolean): Promise<void> {
    this.#closed = true
    if (final) await this.#control?.call('DEL', this.#key).catch(() => {})
    this.#reading?.close()
    this.#control?.close()
    await this.#loop
  }

  /** Creates the stream before anything is sent to it: senders only write to inboxes that exist. */
  async #make(connection: Connection): Promise<void> {
    await connection.transaction([
      ['XADD', this.#key, 'MAXLEN', '~', KEPT, '*', 'streamswitch-reply', '1'],
      ['PEXPIRE', this.#key, this.#spec.ttlMs],
    ])
  }

  async #read(connection: Connection): Promise<void> {
    const { progress } = this.#spec
    progress.position ??= '0-0'
    try {
      while (!this.#closed) {
        const reply = (await connection.call(
          'XREAD',
          'COUNT',
          READ_COUNT,
          'BLOCK',
          BLOCK_MS,
          'STREAMS',
          this.#key,
          progress.position as string,
        )) as readonly [readonly [Buffer, readonly RawEntry[]]] | null
        for (const entry of reply?.[0][1] ?? []) {
          progress.position = entry[0].toString('latin1')
          const read: IncomingReply | undefined = readReply(entry)
          if (read !== undefined) this.#sink.reply(read)
        }
      }
    } catch (error) {
      if (!this.#closed) this.#sink.lost(error)
    }
  }
}

class RedisReplySender implements ProducerDriver {
  /** Commands of one connection are executed in order; what fails is the connection, or the inbox permanently. */
  readonly maxInFlightBatches = 4
  readonly #connector: Connector
  readonly #sink: ProducerSink
  #connection: Connection | undefined

  constructor(connector: Connector, sink: ProducerSink) {
    this.#connector = connector
    this.#sink = sink
  }

  async open(signal: AbortSignal): Promise<ProducerReady> {
    this.#connection = await this.#connector.connectChecked(
      { role: 'replies sender', lost: (error) => this.#sink.lost(error) },
      signal,
    )
    return { partitions: 1, maxPayloadBytes: this.#connector.settings.maxPayloadBytes }
  }

  async publish(batch: PublishBatch): Promise<void> {
    const connection = this.#connection
    if (connection === undefined) throw new Error('Connection is closed.')
    await Promise.all(batch.records.map((record, index) => this.#append(connection, batch, index, record)))
  }

  async probe(): Promise<void> {
    await this.#connector.probe(this.#connection)
  }

  async close(): Promise<void> {
    this.#connection?.close()
    this.#connection = undefined
  }

  async #append(connection: Connection, batch: PublishBatch, index: number, record: OutgoingRecord): Promise<void> {
    const key = record.key as string
    const fields: Argument[] = []
    appendRecord(fields, { ...record, key: undefined, headers: record.headers ?? {} })
    try {
      const id = await connection.call('XADD', key, 'NOMKSTREAM', 'MAXLEN', '~', KEPT, '*', ...fields.slice(1))
      if (id === null) batch.fail(index, gone())
      else batch.accept(index)
    } catch (error) {
      batch.fail(index, classifyError(error, 'respond'))
    }
  }
}

function gone(): StreamError {
  return new StreamError('no request is pending for the reply: its caller is gone', {
    code: 'NOT_FOUND',
    retryable: false,
    transport: 'redis',
    operation: 'respond',
  })
}
