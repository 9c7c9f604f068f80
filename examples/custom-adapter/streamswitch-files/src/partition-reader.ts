import { type ConsumerSink, type PartitionAssignment, StreamError } from '@streamswitch/core/driver'
import type { Lease } from './lease.js'
import { LogFile } from './log.js'
import { toDelivery } from './message.js'
import { logFile } from './paths.js'
import { ChangeSignal } from './signal.js'
import type { Topic } from './topics.js'

/** Delivers the records of one partition, from the group's committed offset on, as long as this member owns it. */
export class PartitionReader {
  readonly #topic: Topic
  readonly #assignment: PartitionAssignment
  readonly #lease: Lease
  readonly #sink: ConsumerSink
  readonly #pollMs: number
  #signal: ChangeSignal | undefined
  #stopped = false
  #ended: Promise<void> = Promise.resolve()

  constructor(topic: Topic, assignment: PartitionAssignment, lease: Lease, sink: ConsumerSink, pollMs: number) {
    this.#topic = topic
    this.#assignment = assignment
    this.#lease = lease
    this.#sink = sink
    this.#pollMs = pollMs
  }

  /** Starts delivering. `failed` is called when the log can't be read. */
  start(failed: (error: unknown) => void): void {
    this.#ended = this.#run().catch((error) => {
      if (!this.#stopped) failed(error)
    })
  }

  /** Delivers nothing from now on. */
  stop(): void {
    this.#stopped = true
    this.#signal?.close()
  }

  /** Resolves when the log is closed, after `stop`, and once the sink has accepted a delivery. */
  get ended(): Promise<void> {
    return this.#ended
  }

  async #run(): Promise<void> {
    const path = logFile(this.#topic.folder, this.#assignment.partition)
    await using log = await LogFile.open(path)
    if (this.#stopped) return
    const signal = new ChangeSignal(path, this.#pollMs)
    this.#signal = signal
    try {
      await this.#deliver(log, signal)
    } finally {
      signal.close()
    }
  }

  async #deliver(log: LogFile, signal: ChangeSignal): Promise<void> {
    let at = this.#lease.position
    while (!this.#stopped) {
      const page = await log.read(at, Math.max(1, this.#sink.capacity(this.#assignment)))
      // Reading took time: the lease is checked right before the delivery.
      if (!this.#lease.running && !(await this.#lease.renew())) return
      if (this.#stopped) return
      for (const position of page.foreign) this.#report(position)
      const idle = page.next === at
      at = page.next
      if (page.records.length > 0) {
        await this.#sink.deliver(
          this.#assignment,
          page.records.map((record) => toDelivery(this.#assignment, record)),
        )
      } else if (idle) {
        await signal.wait()
      }
    }
  }

  #report(position: number): void {
    const { topic, partition } = this.#assignment
    this.#sink.report(
      new StreamError(
        `'${topic}', partition ${partition}: the line at byte ${position} of the log begins no record and is skipped`,
        { code: 'SERIALIZATION', transport: 'files', topic },
      ),
    )
  }
}
