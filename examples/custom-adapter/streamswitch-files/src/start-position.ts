import { type ConsumerSink, type StartPosition, StreamError } from '@streamswitch/core/driver'
import { readPosition } from './lease.js'
import { LogFile } from './log.js'
import { logFile, writerFolder } from './paths.js'
import type { Topic } from './topics.js'

/**
 * Returns the offset of a start position in a partition's log. For one beyond the log core decides, which may throw:
 * let that pass.
 */
export async function positionOf(
  topic: Topic,
  partition: number,
  start: StartPosition | undefined,
  sink: ConsumerSink,
): Promise<number> {
  if (start === undefined || start === 'earliest') return 0
  await using log = await LogFile.open(logFile(topic.folder, partition))
  const end = await log.end(await readPosition(writerFolder(topic.folder, partition)))
  if (start === 'latest') return end
  if ('timestamp' in start) return (await firstSince(log, start.timestamp)) ?? end
  const offset = /^\d{1,15}$/.test(start.offset) ? Number(start.offset) : Number.NaN
  if (offset > end) return await beyond(topic, partition, offset, log, sink)
  if (offset === end || (await log.read(offset, 1)).records[0]?.position === offset) return offset
  throw new StreamError(
    `no message begins at offset ${start.offset} in partition ${partition} of '${topic.name}': offsets are bytes of the log, use one that a message has shown`,
    { code: 'INVALID_ARGUMENT', transport: 'files', topic: topic.name },
  )
}

/**
 * Returns the group's committed offset, or where core resumes when the log is shorter than that, since it was replaced.
 */
export async function withinLog(
  topic: Topic,
  partition: number,
  position: number,
  sink: ConsumerSink,
): Promise<number> {
  await using log = await LogFile.open(logFile(topic.folder, partition))
  return position <= (await log.size()) ? position : await beyond(topic, partition, position, log, sink)
}

async function beyond(
  topic: Topic,
  partition: number,
  offset: number,
  log: LogFile,
  sink: ConsumerSink,
): Promise<number> {
  let first: number | undefined
  let last: number | undefined
  let end = 0
  for await (const page of log.pages(0)) {
    first ??= page.records[0]?.position
    last = page.records.at(-1)?.position ?? last
    end = page.next
  }
  const where = {
    topic: topic.name,
    partition,
    offset: String(offset),
    first: first?.toString(),
    last: last?.toString(),
  }
  return sink.outOfRange(where) === 'earliest' ? 0 : end
}

async function firstSince(log: LogFile, timestamp: number): Promise<number | undefined> {
  for await (const page of log.pages(0)) {
    const found = page.records.find(({ line }) => line.timestamp !== undefined && line.timestamp >= timestamp)
    if (found !== undefined) return found.position
  }
  return undefined
}
