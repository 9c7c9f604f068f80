import { compareIds } from './position.js'

/** Entries that were removed before the group had read them. */
export interface Gap {
  /** The last entry that the group had before. */
  readonly after: string
  /** The oldest and the newest entry that are left; `undefined` where none is. */
  readonly first: string | undefined
  readonly last: string | undefined
  readonly count: number
  /** What the count of the group was, at `after`. */
  readonly read: number
}

/** What `GUARD_READ` says of a stream right before it is read. */
interface StreamState {
  readonly added: number
  readonly removed: number
  readonly first: string
  readonly last: string
  readonly groupRead: number | undefined
  readonly groupAt: string
}

/**
 * Counts what a partition's owner has read among all entries that the stream ever had. Where more are gone than that, some went unread:
 * Redis passes over them silently, and its own count of the group may fall behind for good.
 */
export class ReadCount {
  /** How many entries the stream had had up to the last one that was read; `undefined` while it isn't known. */
  #read: number | undefined
  #last = ''

  /** Whether the group has to be looked up: only then is it known where it is. */
  get isUnknown(): boolean {
    return this.#last === ''
  }

  get read(): number | undefined {
    return this.#read
  }

  /** The last new entry that was read; empty before the first. */
  get last(): string {
    return this.#last
  }

  /**
   * Notes what one read of new entries brought, and returns what it has passed over.
   *
   * @param verdict - what the guard before it replied.
   * @param ids - of the entries, in order.
   * @param wanted - how many would have been taken.
   */
  note(verdict: unknown, ids: readonly string[], wanted: number): Gap | undefined {
    const state = stateOf(verdict)
    const after = this.#last === '' ? (state?.groupAt ?? '') : this.#last
    const gap = state === undefined ? undefined : this.#gapBefore(state, after)
    this.#last = ids.at(-1) ?? after
    if (state === undefined) this.#read = undefined
    // All there was has been read: the stream's count is the group's.
    else if (ids.length < wanted) this.#read = state.added
    else if (this.#read !== undefined) this.#read += ids.length
    return gap
  }

  #gapBefore({ removed, first, last, groupRead }: StreamState, after: string): Gap | undefined {
    const read = this.#read ?? groupRead
    this.#read = read
    if (after === '' || (first !== '' && compareIds(first, after) <= 0)) return undefined
    // Everything up to `after` is gone, whoever had it.
    this.#read = Math.max(read ?? 0, removed)
    if (read === undefined || removed <= read) return undefined
    return { after, first: first || undefined, last: last || undefined, count: removed - read, read }
  }
}

/** `undefined` for a server before Redis 7, which doesn't count. */
function stateOf(verdict: unknown): StreamState | undefined {
  if (!Array.isArray(verdict)) return undefined
  const [, added = '', length = '', first = '', last = '', read = '', at = ''] = verdict.map(String)
  if (added === '') return undefined
  const groupRead = read === '' ? undefined : Number(read)
  return { added: Number(added), removed: Number(added) - Number(length), first, last, groupRead, groupAt: at }
}
