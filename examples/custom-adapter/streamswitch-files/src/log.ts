import { type FileHandle, open } from 'node:fs/promises'
import { type LogRecord, parseRecord } from './message.js'

const CHUNK_BYTES = 256 * 1024

/** Consecutive records of a log. */
export interface LogPage {
  readonly records: readonly LogRecord[]
  /** Offset at which to continue. */
  readonly next: number
  /** Offsets of lines that begin no record. */
  readonly foreign: readonly number[]
}

/** Reads the log of one partition. Offsets are bytes from its beginning. */
export class LogFile implements AsyncDisposable {
  readonly #file: FileHandle

  private constructor(file: FileHandle) {
    this.#file = file
  }

  static async open(path: string): Promise<LogFile> {
    return new LogFile(await open(path, 'r'))
  }

  async size(): Promise<number> {
    return (await this.#file.stat()).size
  }

  /** Returns up to `limit` complete records from an offset on, in separate memory; none when there are none yet. */
  async read(from: number, limit: number): Promise<LogPage> {
    const available = (await this.size()) - from
    let wanted = CHUNK_BYTES
    for (;;) {
      const length = Math.max(0, Math.min(wanted, available))
      const bytes = Buffer.allocUnsafe(length)
      const { bytesRead } = await this.#file.read(bytes, 0, length, from)
      const page = readPage(bytes.subarray(0, bytesRead), from, limit)
      if (page.next > from || bytesRead < wanted) return page
      wanted = Math.max(wanted * 2, page.missing)
    }
  }

  /** Yields all complete records from an offset on, page by page. */
  async *pages(from: number): AsyncGenerator<LogPage> {
    for (let at = from; ; ) {
      const page = await this.read(at, Number.POSITIVE_INFINITY)
      if (page.next === at) return
      at = page.next
      yield page
    }
  }

  /** Returns the end of the last complete record. `boundary`: an offset known to be between two records. */
  async end(boundary: number): Promise<number> {
    let end = boundary
    for await (const page of this.pages(boundary)) end = page.next
    return end
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
  }
}

function readPage(bytes: Buffer, base: number, limit: number): LogPage & { readonly missing: number } {
  const records: LogRecord[] = []
  const foreign: number[] = []
  let next = base
  while (records.length < limit) {
    const parsed = parseRecord(bytes, base, next - base)
    if (parsed.kind === 'incomplete') return { records, foreign, next: parsed.at, missing: parsed.bytes }
    if (parsed.kind === 'record') {
      records.push(parsed.record)
      next = parsed.record.next
    } else {
      foreign.push(parsed.at)
      next = parsed.next
    }
  }
  return { records, foreign, next, missing: 0 }
}
