import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { StreamError } from '@streamswitch/core/driver'
import { Lease } from './lease.js'
import { LogFile } from './log.js'
import { logFile, writerFolder } from './paths.js'
import type { Topic } from './topics.js'

/** How long a process without further writes keeps the lease, and its maximum time while others wait. */
const IDLE_MS = 10
const LONGEST_TURN_MS = 100
/**
 * How often a process requests a lease that another one holds. Shorter than the pause between two turns, so that it
 * gets it.
 */
const ASK_MS = 5
const PAUSE_MS = 15

interface Append {
  readonly bytes: Buffer
  readonly resolve: (position: number | undefined) => void
  readonly reject: (error: unknown) => void
}

/**
 * Writes to the log of one partition, for all producers of this process: records that have gathered while the disk was
 * busy are written at once. One process writes at a time, so that an incomplete record of a killed writer is found
 * before anything follows it.
 */
export class PartitionWriter {
  readonly #topic: Topic
  readonly #partition: number
  readonly #owner: string
  readonly #leaseMs: number
  #queue: Append[] = []
  #working: Promise<void> | undefined
  #arrived: (() => void) | undefined
  #closed = false

  constructor(topic: Topic, partition: number, owner: string, leaseMs: number) {
    this.#topic = topic
    this.#partition = partition
    this.#owner = owner
    this.#leaseMs = leaseMs
  }

  /**
   * Resolves once the bytes, which are complete records, are on disk, with their offset; `undefined` when others wrote
   * at the same time.
   */
  append(bytes: Buffer): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ bytes, resolve, reject })
      this.#arrived?.()
      this.#working ??= this.#work()
    })
  }

  /** Resolves when all writes have ended. Waiting ones are refused. */
  async close(): Promise<void> {
    this.#closed = true
    this.#arrived?.()
    await this.#working
  }

  async #work(): Promise<void> {
    while (this.#queue.length > 0) {
      try {
        await this.#turn(await this.#takeLease())
      } catch (error) {
        for (const { reject } of this.#queue.splice(0)) reject(error)
      }
      if (this.#queue.length > 0) await delay(PAUSE_MS)
    }
    this.#working = undefined
  }

  async #takeLease(): Promise<Lease> {
    const folder = writerFolder(this.#topic.folder, this.#partition)
    for (;;) {
      if (this.#closed) throw new StreamError('the transport is closed', { code: 'CLOSED', transport: 'files' })
      const lease = await Lease.take(folder, this.#owner, this.#leaseMs)
      if (lease !== undefined) return lease
      await delay(ASK_MS)
    }
  }

  /** Writes until nothing more is queued, or it is the others' turn. */
  async #turn(lease: Lease): Promise<void> {
    let end = lease.position
    try {
      const path = logFile(this.#topic.folder, this.#partition)
      await using file = await open(path, 'r+')
      await using log = await open(path, constants.O_WRONLY | constants.O_APPEND)
      end = await repair(path, file, end)
      const until = Date.now() + LONGEST_TURN_MS
      while (Date.now() < until && lease.running && (this.#queue.length > 0 || (await this.#arrival()))) {
        const next = await this.#write(log, end)
        if (next === undefined) break
        end = next
      }
    } finally {
      await lease.release(end)
    }
  }

  /** Resolves with the end of what was written; `undefined` when that has to be searched, from the old end on. */
  async #write(log: FileHandle, end: number): Promise<number | undefined> {
    const batch = this.#queue.splice(0)
    const bytes = Buffer.concat(batch.map((one) => one.bytes))
    try {
      const { bytesWritten } = await log.write(bytes)
      if (bytesWritten < bytes.length) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
      await log.datasync()
      const alone = (await log.stat()).size === end + bytes.length
      let position = end
      for (const one of batch) {
        one.resolve(alone ? position : undefined)
        position += one.bytes.length
      }
      return alone ? position : undefined
    } catch (error) {
      for (const one of batch) one.reject(error)
      return undefined
    }
  }

  /** Returns whether there is something to write soon. */
  async #arrival(): Promise<boolean> {
    if (!this.#closed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, IDLE_MS)
        this.#arrived = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      this.#arrived = undefined
    }
    return this.#queue.length > 0
  }
}

/**
 * Overwrites an incomplete record at the end of the log, whose writer was killed, with newlines, which readers skip.
 * Truncating it instead could remove what a writer without the lease appends at that moment.
 */
async function repair(path: string, file: FileHandle, boundary: number): Promise<number> {
  await using log = await LogFile.open(path)
  const size = await log.size()
  const end = await log.end(boundary)
  if (end >= size) return end
  await file.write(Buffer.alloc(size - end, '\n'), 0, size - end, end)
  await file.datasync()
  return size
}
