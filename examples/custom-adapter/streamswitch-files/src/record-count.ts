import type { LogFile } from './log.js'

/** Counts the records of a log, and reads each stretch of it once. */
export class RecordCount {
  /** Number of records before an offset, counted from the first mark. */
  #marks: { readonly position: number; readonly before: number }[] = []

  /** Complete records from an offset on, which must be one where a record begins or may begin. */
  async from(position: number, log: LogFile): Promise<number> {
    const first = this.#marks[0]
    if (first === undefined || position < first.position) this.#marks = [{ position, before: 0 }]
    const total = await this.#extend(log)
    const index = this.#marks.findLastIndex((mark) => mark.position <= position)
    this.#marks.splice(0, index)
    return total - (await this.#before(position, log))
  }

  async #extend(log: LogFile): Promise<number> {
    let { position, before } = this.#marks.at(-1) ?? { position: 0, before: 0 }
    for await (const page of log.pages(position)) {
      position = page.next
      before += page.records.length
      this.#marks.push({ position, before })
    }
    return before
  }

  async #before(position: number, log: LogFile): Promise<number> {
    const mark = this.#marks[0] ?? { position: 0, before: 0 }
    let count = mark.before
    for await (const page of log.pages(mark.position)) {
      const earlier = page.records.filter((record) => record.position < position).length
      count += earlier
      if (page.next >= position) break
    }
    return count
  }
}
