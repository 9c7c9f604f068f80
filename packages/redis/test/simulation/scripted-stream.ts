/** The id of an entry. Sequences beyond what a double holds are the highest there are: they compare as they should. */
export interface EntryId {
  readonly time: number
  readonly sequence: number
  readonly text: string
}

interface Entry {
  readonly id: EntryId
  readonly fields: readonly string[]
}

/** An entry that a consumer has read and not acked. */
export interface PendingEntry {
  readonly id: EntryId
  consumer: string
  deliveredAt: number
  deliveries: number
}

export const FIRST_ID: EntryId = { time: 0, sequence: 0, text: '0-0' }
const LAST_ID: EntryId = { time: Number.POSITIVE_INFINITY, sequence: 0, text: '+' }

/** @param missing - the sequence where the text has none. */
export function parseId(text: string, missing = 0): EntryId {
  const [time, sequence] = text.split('-')
  const id = { time: Number(time), sequence: sequence === undefined ? missing : Number(sequence) }
  return { ...id, text: sequence === undefined ? `${id.time}-${id.sequence}` : text }
}

/** Where a range begins or ends, and whether that id is part of it. */
function parseBound(text: string): { readonly id: EntryId; readonly exclusive: boolean } {
  if (text === '-') return { id: FIRST_ID, exclusive: false }
  if (text === '+') return { id: LAST_ID, exclusive: false }
  const exclusive = text.startsWith('(')
  return { id: parseId(exclusive ? text.slice(1) : text), exclusive }
}

export function compareIds(left: EntryId, right: EntryId): number {
  return left.time - right.time || left.sequence - right.sequence
}

/** The index of the first of a sorted list whose id is `id` or higher, or higher only. */
function firstFrom(list: readonly { readonly id: EntryId }[], id: EntryId, exclusive: boolean): number {
  let [low, high] = [0, list.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const compared = compareIds((list[middle] as Entry).id, id)
    if (compared < 0 || (exclusive && compared === 0)) low = middle + 1
    else high = middle
  }
  return low
}

/** A stream with its groups. Entries are removed at its beginning only. */
export class ScriptedStream {
  readonly entries: Entry[] = []
  /** Ids of entries that were removed, and where they were. */
  readonly #removed = new Map<string, number>()
  readonly groups = new Map<string, ScriptedGroup>()
  lastId: EntryId = FIRST_ID

  /** The next id at a time, in milliseconds. */
  append(time: number, fields: readonly string[]): EntryId {
    const sequence = time > this.lastId.time ? 0 : this.lastId.sequence + 1
    const at = Math.max(time, this.lastId.time)
    return this.appendAs({ time: at, sequence, text: `${at}-${sequence}` }, fields)
  }

  /** @param id - a higher one than the last. */
  appendAs(id: EntryId, fields: readonly string[]): EntryId {
    this.lastId = id
    this.entries.push({ id, fields })
    return id
  }

  /** How many entries there ever were. */
  get added(): number {
    return this.#removed.size + this.entries.length
  }

  /** Removes all but so many. Returns what was removed. */
  keepLast(count: number): readonly EntryId[] {
    return this.#remove(Math.max(0, this.entries.length - count))
  }

  /** Removes what is before an id. Returns what was removed. */
  keepFrom(id: EntryId): readonly EntryId[] {
    return this.#remove(firstFrom(this.entries, id, false))
  }

  #remove(count: number): readonly EntryId[] {
    const removed = this.entries.splice(0, count).map(({ id }) => id)
    for (const { text } of removed) this.#removed.set(text, this.#removed.size)
    return removed
  }

  after(id: EntryId, count: number): readonly Entry[] {
    const from = firstFrom(this.entries, id, true)
    return this.entries.slice(from, from + count)
  }

  range(from: string, to: string, count: number): readonly Entry[] {
    const [first, last] = [parseBound(from), parseBound(to)]
    const start = firstFrom(this.entries, first.id, first.exclusive)
    const end = firstFrom(this.entries, last.id, !last.exclusive)
    return this.entries.slice(start, Math.min(end, start + count))
  }

  find(id: EntryId): Entry | undefined {
    const found = this.entries[firstFrom(this.entries, id, false)]
    return found !== undefined && compareIds(found.id, id) === 0 ? found : undefined
  }

  /** How many entries there ever were before one of this id. */
  offsetOf(id: EntryId): number {
    return this.#removed.get(id.text) ?? this.#removed.size + firstFrom(this.entries, id, false)
  }

  /** How many entries there ever were up to this id, and those that were removed. */
  offsetAfter(id: EntryId): number {
    return this.#removed.size + firstFrom(this.entries, id, true)
  }

  /** How many entries there ever were up to this id, where the server knows it without counting. */
  knownOffset(id: EntryId): number | null {
    const { added, entries, lastId } = this
    const [first] = entries
    const compared = compareIds(id, lastId)
    if (added === 0) return 0
    if (compared === 0 || (first === undefined && compared < 0)) return added
    if (compared > 0 || first === undefined) return null
    const fromFirst = compareIds(id, first.id)
    return fromFirst > 0 ? null : added - entries.length + (fromFirst === 0 ? 1 : 0)
  }

  /** What a group hasn't had yet, where the server knows it without counting. */
  lagOf({ entriesRead, lastDelivered }: ScriptedGroup): number | null {
    const read = this.#counts(lastDelivered) ? entriesRead : null
    const known = read ?? this.knownOffset(lastDelivered)
    return known === null ? null : this.added - known
  }

  /** What a group has read, after one more entry. */
  entriesReadWith(id: EntryId, { entriesRead, lastDelivered }: ScriptedGroup): number | null {
    return entriesRead === null || !this.#counts(lastDelivered) ? this.knownOffset(id) : entriesRead + 1
  }

  /** A count up to this id can be gone on with: nothing was removed behind it. */
  #counts(id: EntryId): boolean {
    const [first] = this.entries
    return first !== undefined && compareIds(id, first.id) >= 0
  }

  /** How many entries there ever were before the first that a group hasn't settled. */
  settledBefore({ pending, lastDelivered }: ScriptedGroup): number {
    const [first] = pending
    return first === undefined ? this.offsetAfter(lastDelivered) : this.offsetOf(first.id)
  }
}

/** A group of a stream. */
export class ScriptedGroup {
  readonly name: string
  /** When each has shown up last. */
  readonly consumers = new Map<string, number>()
  /** By id. */
  readonly pending: PendingEntry[] = []
  lastDelivered: EntryId
  /** Not known until it has read something. */
  entriesRead: number | null = null

  constructor(name: string, lastDelivered: EntryId) {
    this.name = name
    this.lastDelivered = lastDelivered
  }

  /** Whoever has it now, `consumer` has it from now on. */
  deliver(id: EntryId, consumer: string, now: number): void {
    const index = firstFrom(this.pending, id, false)
    const known = this.pending[index]
    if (known !== undefined && compareIds(known.id, id) === 0)
      Object.assign(known, { consumer, deliveredAt: now, deliveries: 1 })
    else this.pending.splice(index, 0, { id, consumer, deliveredAt: now, deliveries: 1 })
  }

  find(id: EntryId): PendingEntry | undefined {
    const found = this.pending[firstFrom(this.pending, id, false)]
    return found !== undefined && compareIds(found.id, id) === 0 ? found : undefined
  }

  /** Returns how many entries it had pending, which are forgotten. */
  deleteConsumer(name: string): number {
    const kept = this.pending.filter(({ consumer }) => consumer !== name)
    const count = this.pending.length - kept.length
    this.pending.splice(0, this.pending.length, ...kept)
    this.consumers.delete(name)
    return count
  }

  /** Returns whether it was pending. */
  settle(id: EntryId): boolean {
    const index = firstFrom(this.pending, id, false)
    const known = this.pending[index]
    if (known === undefined || compareIds(known.id, id) !== 0) return false
    this.pending.splice(index, 1)
    return true
  }

  /** Pending entries in a range, idle for so long at least, of one consumer or of all. */
  pendingIn(
    from: string,
    to: string,
    count: number,
    { idleMs, now, consumer }: { readonly idleMs: number; readonly now: number; readonly consumer: string | undefined },
  ): PendingEntry[] {
    const [first, last] = [parseBound(from), parseBound(to)]
    const found: PendingEntry[] = []
    const start = firstFrom(this.pending, first.id, first.exclusive)
    const end = firstFrom(this.pending, last.id, !last.exclusive)
    for (let index = start; index < end && found.length < count; index += 1) {
      const entry = this.pending[index] as PendingEntry
      if (idleMs > 0 && now - entry.deliveredAt < idleMs) continue
      if (consumer === undefined || entry.consumer === consumer) found.push(entry)
    }
    return found
  }
}
