import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { type Logger, RESERVED_PREFIX, type TopicSpec, type TransportContext } from '@streamswitch/core/driver'
import type { FilesSettings } from './options.js'
import { PartitionWriter } from './partition-writer.js'
import { logFile } from './paths.js'
import { openTopic, requireRoot, type Topic } from './topics.js'

/** What all drivers of one transport share: the folder, and a writer per partition. */
export class Connection {
  readonly settings: FilesSettings
  /** Owner written to lease files, for people. */
  readonly owner: string
  readonly #logger: Logger
  readonly #writers = new Map<string, PartitionWriter>()

  constructor(settings: FilesSettings, context: TransportContext) {
    this.settings = settings
    this.#logger = context.logger
    this.owner = `${context.clientId} ${hostname()}/${process.pid}/${randomBytes(6).toString('base64url')}`
  }

  get folder(): string {
    return this.settings.folder
  }

  /** Creates or checks a topic, as `spec.provision` says. */
  topic(spec: TopicSpec): Promise<Topic> {
    const bounds = Object.entries(spec.retention).filter(([, bound]) => bound !== undefined)
    // Core limits its own topics, and deletes them when they are no longer needed.
    if (bounds.length > 0 && spec.provision === 'create' && !spec.topic.startsWith(RESERVED_PREFIX)) {
      const names = bounds.map(([name]) => name).join(', ')
      this.#logger.warn(`'${spec.topic}' on files: logs keep everything, so retention (${names}) has no effect`)
    }
    return openTopic(this.folder, spec)
  }

  writer(topic: Topic, partition: number): PartitionWriter {
    const path = logFile(topic.folder, partition)
    let writer = this.#writers.get(path)
    if (writer === undefined) {
      writer = new PartitionWriter(topic, partition, this.owner, this.settings.leaseMs)
      this.#writers.set(path, writer)
    }
    return writer
  }

  /** Rejects when the folder doesn't exist. */
  async probe(): Promise<void> {
    await requireRoot(this.folder)
  }

  /** Resolves when all writes have ended. */
  async close(): Promise<void> {
    await Promise.all([...this.#writers.values()].map((writer) => writer.close()))
  }
}
