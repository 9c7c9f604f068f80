import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { partitionConflict, StreamError, type TopicSpec, topicMissing } from '@streamswitch/core/driver'
import { hasCode } from './errors.js'
import { Lease } from './lease.js'
import { logFile, temporaryName, topicFile, topicFolder, writerFolder } from './paths.js'

const FORMAT = 1

/** An existing topic. */
export interface Topic {
  /** The name that the user gave. */
  readonly name: string
  readonly folder: string
  readonly partitions: number
}

/** Creates or checks a topic, as `spec.provision` says. */
export async function openTopic(root: string, spec: TopicSpec): Promise<Topic> {
  const folder = topicFolder(root, spec.brokerTopic)
  const existing =
    (await readPartitions(folder)) ?? (spec.provision === 'create' ? await makeTopic(root, folder, spec) : undefined)
  if (existing === undefined) {
    await requireRoot(root, spec.topic)
    throw topicMissing('files', spec.topic)
  }
  if (spec.provision !== 'none' && spec.partitions !== undefined && spec.partitions !== existing) {
    throw partitionConflict('files', spec, existing)
  }
  return { name: spec.topic, folder, partitions: existing }
}

/** The number of partitions; `undefined` when there is no such topic. */
export async function readPartitions(folder: string): Promise<number | undefined> {
  let text: string
  try {
    text = await readFile(topicFile(folder), 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
  const { format, partitions } = JSON.parse(text)
  if (format === FORMAT) return partitions
  throw new StreamError(`${topicFile(folder)} has format ${format}, this version reads ${FORMAT}: update the adapter`, {
    code: 'CONFLICT',
    transport: 'files',
  })
}

/** Deletes a topic with its groups. A missing one is not an error. */
export async function deleteTopic(root: string, spec: TopicSpec): Promise<void> {
  await requireRoot(root, spec.topic)
  const doomed = temporaryName(root)
  try {
    await rename(topicFolder(root, spec.brokerTopic), doomed)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return
    throw error
  }
  await removeFolder(doomed)
}

/** UNAVAILABLE when the folder of all topics is missing. */
export async function requireRoot(root: string, topic?: string): Promise<void> {
  const found = await stat(root).catch((error) => {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  })
  if (found?.isDirectory()) return
  throw new StreamError(`there is no folder ${root}: create it, or mount the disk that holds it`, {
    code: 'UNAVAILABLE',
    transport: 'files',
    topic,
  })
}

async function makeTopic(root: string, folder: string, spec: TopicSpec): Promise<number | undefined> {
  const partitions = spec.partitions ?? 1
  await requireRoot(root, spec.topic)
  await makeFolder(folder, async (topic) => {
    await mkdir(`${topic}/groups`)
    for (let partition = 0; partition < partitions; partition += 1) {
      await writeFile(logFile(topic, partition), '')
      await mkdir(writerFolder(topic, partition), { recursive: true })
      await Lease.prepare(writerFolder(topic, partition), 0)
    }
    await writeFile(topicFile(topic), `${JSON.stringify({ format: FORMAT, partitions })}\n`)
  })
  return readPartitions(folder)
}

/**
 * Fills a folder under another name, then renames it: others see all of it or nothing, and only one creator succeeds.
 */
export async function makeFolder(folder: string, fill: (temporary: string) => Promise<void>): Promise<boolean> {
  const temporary = temporaryName(dirname(folder))
  await mkdir(temporary)
  try {
    await fill(temporary)
    await rename(temporary, folder)
  } catch (error) {
    await removeFolder(temporary)
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST')) return false
    throw error
  }
  await syncFolder(dirname(folder))
  return true
}

/** A new name is on disk only once its folder is. */
async function syncFolder(folder: string): Promise<void> {
  await using directory = await open(folder, 'r')
  await directory.sync()
}

/** Members that don't know yet may add files meanwhile: repeat until nothing is left. */
async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 })
}

/** Names on the broker of all topics that begin with a prefix. */
export async function listTopics(root: string, prefix: string): Promise<string[]> {
  await requireRoot(root)
  const names = (await readdir(root, { withFileTypes: true })).filter(
    (one) => one.isDirectory() && !one.name.startsWith('+'),
  )
  return names.map((one) => decodeURIComponent(one.name)).filter((name) => name.startsWith(prefix))
}
