import { Failure, OK, type Reply, Status } from './replies.js'
import {
  compareIds,
  type EntryId,
  FIRST_ID,
  type PendingEntry,
  parseId,
  ScriptedGroup,
  ScriptedStream,
} from './scripted-stream.js'

type Value = ScriptedStream | Map<string, string> | SortedSet

/** Scores by member. */
class SortedSet {
  readonly scores = new Map<string, number>()

  sorted(): string[] {
    const members = [...this.scores.keys()]
    const score = (member: string): number => this.scores.get(member) as number
    return members.sort((one, other) => score(one) - score(other) || (one < other ? -1 : 1))
  }
}

/** What was done to a group. */
export type GroupChange =
  | { readonly what: 'created' | 'moved' }
  /** Moved behind what was removed. */
  | { readonly what: 'skipped' }
  | { readonly what: 'acked'; readonly ids: readonly EntryId[] }

/** A pending entry goes to another consumer. */
export interface Claim {
  readonly id: EntryId
  readonly from: string
  readonly to: string
  /** How long the former one has had it, in milliseconds. */
  readonly idleMs: number
}

/** What has changed, for whoever judges it. */
export interface StoreEvents {
  hashChanged(key: string): void
  groupChanged(key: string, group: string, change: GroupChange): void
  /** Entries of a group were read, new ones or pending ones. */
  read(key: string, ids: readonly string[]): void
  claimed(key: string, group: string, claim: Claim): void
  /** A consumer is gone, with what it had pending. */
  consumerDeleted(key: string, group: string, consumer: string, pending: number): void
  removed(key: string, ids: readonly EntryId[]): void
  appended(key: string): void
}

/** An error reply, on its way up. */
class Refused {
  readonly failure: Failure

  constructor(text: string) {
    this.failure = new Failure(text)
  }
}

type Args = readonly string[]

/** The keys of a Redis server and the commands on them, as far as members of a group use them. One command at a time. */
export class ScriptedStore {
  readonly #events: StoreEvents
  /** The server's clock in milliseconds. */
  readonly #now: () => number
  readonly #values = new Map<string, Value>()
  readonly #expires = new Map<string, number>()
  readonly #commands: ReadonlyMap<string, (args: Args) => Reply> = new Map<string, (args: Args) => Reply>([
    ['PING', () => new Status('PONG')],
    ['TIME', () => this.#time()],
    ['TYPE', ([key = '']) => new Status(this.#typeOf(key))],
    ['EXISTS', (keys) => keys.filter((key) => this.#get(key) !== undefined).length],
    ['DEL', (keys) => keys.filter((key) => this.#delete(key)).length],
    ['PEXPIRE', ([key = '', ms]) => this.#expire(key, Number(ms))],
    ['HGET', ([key = '', field = '']) => this.#hash(key)?.get(field) ?? null],
    ['HMGET', ([key = '', ...fields]) => fields.map((field) => this.#hash(key)?.get(field) ?? null)],
    ['HGETALL', ([key = '']) => [...(this.#hash(key) ?? [])].flat()],
    ['HSET', ([key = '', ...pairs]) => this.#setFields(key, pairs)],
    ['HDEL', ([key = '', ...fields]) => this.#deleteFields(key, fields)],
    ['ZADD', ([key = '', score, member = '']) => this.#addMember(key, Number(score), member)],
    ['ZREM', ([key = '', member = '']) => (this.#set(key)?.scores.delete(member) === true ? 1 : 0)],
    ['ZREMRANGEBYSCORE', ([key = '', , below = '']) => this.#removeBelow(key, Number(below.slice(1)))],
    ['ZRANGE', ([key = '']) => this.#set(key)?.sorted() ?? []],
    ['XLEN', ([key = '']) => this.#stream(key)?.entries.length ?? 0],
    ['XADD', (args) => this.#add(args)],
    ['XRANGE', ([key = '', from = '', to = '', , count]) => this.#range(key, from, to, Number(count))],
    ['XREVRANGE', ([key = '']) => this.#lastOf(key)],
    ['XTRIM', ([key = '', how, bound = '']) => this.#trim(key, how === 'MAXLEN' ? Number(bound) : parseId(bound))],
    ['XINFO', ([what = '', key = '', name = '']) => this.#info(what, key, name)],
    ['XGROUP', (args) => (args[0] === 'DELCONSUMER' ? this.#deleteConsumer(args) : this.#changeGroup(args))],
    ['XREADGROUP', (args) => this.#readGroup(args)],
    ['XPENDING', (args) => (args.length === 2 ? this.#pendingSummary(args) : this.#pendingRange(args))],
    ['XCLAIM', (args) => this.#claim(args)],
    ['XAUTOCLAIM', (args) => this.#autoClaim(args)],
    ['XACK', ([key = '', name = '', ...ids]) => this.#ack(key, name, ids)],
  ])

  constructor(now: () => number, events: StoreEvents) {
    this.#now = now
    this.#events = events
  }

  execute(words: Args): Reply {
    const command = this.#commands.get(words[0] ?? '')
    if (command === undefined) return new Failure(`ERR unknown command '${words[0]}'`)
    try {
      return command(words.slice(1))
    } catch (error) {
      if (error instanceof Refused) return error.failure
      throw error
    }
  }

  stream(key: string): ScriptedStream | undefined {
    return this.#stream(key)
  }

  hash(key: string): ReadonlyMap<string, string> | undefined {
    return this.#hash(key)
  }

  members(key: string): string[] {
    return this.#set(key)?.sorted() ?? []
  }

  // Keys.

  #get(key: string): Value | undefined {
    const expires = this.#expires.get(key)
    if (expires !== undefined && expires <= this.#now()) this.#delete(key)
    return this.#values.get(key)
  }

  #typeOf(key: string): string {
    const value = this.#get(key)
    if (value === undefined) return 'none'
    return value instanceof ScriptedStream ? 'stream' : value instanceof SortedSet ? 'zset' : 'hash'
  }

  #of<Kind extends Value>(key: string, kind: new () => Kind): Kind | undefined {
    const value = this.#get(key)
    if (value === undefined || value instanceof kind) return value
    throw new Refused('WRONGTYPE Operation against a key holding the wrong kind of value')
  }

  #stream(key: string): ScriptedStream | undefined {
    return this.#of(key, ScriptedStream)
  }

  #hash(key: string): Map<string, string> | undefined {
    return this.#of<Map<string, string>>(key, Map)
  }

  #set(key: string): SortedSet | undefined {
    return this.#of(key, SortedSet)
  }

  #made<Kind extends Value>(key: string, kind: new () => Kind): Kind {
    const value = this.#of(key, kind) ?? new kind()
    this.#values.set(key, value)
    return value
  }

  #delete(key: string): boolean {
    this.#expires.delete(key)
    const value = this.#values.get(key)
    this.#values.delete(key)
    if (value instanceof Map) this.#events.hashChanged(key)
    return value !== undefined
  }

  #expire(key: string, ms: number): number {
    if (this.#get(key) === undefined) return 0
    this.#expires.set(key, this.#now() + ms)
    return 1
  }

  #time(): Reply {
    const now = this.#now()
    const seconds = Math.floor(now / 1_000)
    return [String(seconds), String(Math.floor((now - seconds * 1_000) * 1_000))]
  }

  // Hashes and sets.

  #setFields(key: string, pairs: Args): number {
    const hash = this.#made<Map<string, string>>(key, Map)
    const before = hash.size
    for (let index = 0; index + 1 < pairs.length; index += 2)
      hash.set(pairs[index] as string, pairs[index + 1] as string)
    this.#events.hashChanged(key)
    return hash.size - before
  }

  #deleteFields(key: string, fields: Args): number {
    const hash = this.#hash(key)
    if (hash === undefined) return 0
    const deleted = fields.filter((field) => hash.delete(field)).length
    if (hash.size === 0) this.#delete(key)
    else this.#events.hashChanged(key)
    return deleted
  }

  #addMember(key: string, score: number, member: string): number {
    const { scores } = this.#made(key, SortedSet)
    const added = scores.has(member) ? 0 : 1
    scores.set(member, score)
    return added
  }

  #removeBelow(key: string, below: number): number {
    const { scores } = this.#set(key) ?? { scores: new Map<string, number>() }
    const removed = [...scores].filter(([, score]) => score < below)
    for (const [member] of removed) scores.delete(member)
    if (removed.length > 0 && scores.size === 0) this.#delete(key)
    return removed.length
  }

  // Streams.

  /** `XADD key [MAXLEN 1] id field value…`, with `*` for the next id. */
  #add([key = '', ...rest]: Args): Reply {
    const only = rest[0] === 'MAXLEN'
    const [id = '*', ...fields] = rest.slice(only ? 2 : 0)
    const stream = this.#made(key, ScriptedStream)
    const { text } = id === '*' ? stream.append(Math.floor(this.#now()), fields) : stream.appendAs(parseId(id), fields)
    if (only) stream.keepLast(1)
    this.#events.appended(key)
    return text
  }

  /** `XTRIM key MAXLEN n`, or `MINID id`. */
  #trim(key: string, bound: number | EntryId): number {
    const stream = this.#stream(key)
    const removed = (typeof bound === 'number' ? stream?.keepLast(bound) : stream?.keepFrom(bound)) ?? []
    if (removed.length > 0) this.#events.removed(key, removed)
    return removed.length
  }

  #range(key: string, from: string, to: string, count: number): Reply {
    return entriesOf(this.#stream(key)?.range(from, to, Number.isNaN(count) ? Number.POSITIVE_INFINITY : count) ?? [])
  }

  /** `XREVRANGE key + - COUNT 1`. */
  #lastOf(key: string): Reply {
    return entriesOf(this.#stream(key)?.entries.slice(-1) ?? [])
  }

  #info(what: string, key: string, name: string): Reply {
    if (what === 'STREAM') return this.#streamInfo(key)
    return what === 'GROUPS' ? this.#groupsInfo(key) : this.#consumersInfo(key, name)
  }

  /** What scripts ask for of it. */
  #streamInfo(key: string): Reply {
    const stream = this.#stream(key)
    if (stream === undefined) throw new Refused('ERR no such key')
    const { entries, lastId, groups, added } = stream
    const [first = null] = entriesOf(entries.slice(0, 1))
    const [last = null] = entriesOf(entries.slice(-1))
    return [
      ...['length', entries.length, 'last-generated-id', lastId.text, 'max-deleted-entry-id', FIRST_ID.text],
      ...['entries-added', added, 'groups', groups.size, 'first-entry', first, 'last-entry', last],
    ]
  }

  #groupsInfo(key: string): Reply {
    const stream = this.#stream(key)
    if (stream === undefined) throw new Refused('ERR no such key')
    return [...stream.groups.values()].map((group) => [
      ...['name', group.name, 'consumers', group.consumers.size, 'pending', group.pending.length],
      ...['last-delivered-id', group.lastDelivered.text, 'entries-read', group.entriesRead, 'lag', stream.lagOf(group)],
    ])
  }

  #consumersInfo(key: string, name: string): Reply {
    const stream = this.#stream(key)
    if (stream === undefined) throw new Refused('ERR no such key')
    const group = stream.groups.get(name)
    if (group === undefined) throw new Refused(`NOGROUP No such consumer group '${name}' for key name '${key}'`)
    const consumers = [...group.consumers].sort(([one], [other]) => (one < other ? -1 : 1))
    return consumers.map(([consumer, seenAt]) => {
      const pending = group.pending.filter((entry) => entry.consumer === consumer).length
      return ['name', consumer, 'pending', pending, 'idle', Math.max(0, Math.floor(this.#now() - seenAt))]
    })
  }

  /** `XGROUP DELCONSUMER key group consumer`. */
  #deleteConsumer([, key = '', name = '', consumer = '']: Args): number {
    const pending = this.#groupToChange(key, name).deleteConsumer(consumer)
    this.#events.consumerDeleted(key, name, consumer, pending)
    return pending
  }

  /** As `#group`, in the words of `XGROUP`. */
  #groupToChange(key: string, name: string): ScriptedGroup {
    const group = this.#stream(key)?.groups.get(name)
    if (group === undefined) throw new Refused(`NOGROUP No such consumer group '${name}' for key name '${key}'`)
    return group
  }

  #changeGroup([what = '', key = '', name = '', at = '', ...rest]: Args): Reply {
    const there = this.#stream(key)
    if (there === undefined && !rest.includes('MKSTREAM'))
      throw new Refused(
        'ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.',
      )
    const stream = this.#made(key, ScriptedStream)
    const group = stream.groups.get(name)
    if (what === 'DESTROY') {
      stream.groups.delete(name)
      return group === undefined ? 0 : 1
    }
    const id = at === '$' ? stream.lastId : parseId(at)
    if (what === 'CREATE') {
      if (group !== undefined) throw new Refused('BUSYGROUP Consumer Group name already exists')
      stream.groups.set(name, new ScriptedGroup(name, id))
      this.#events.groupChanged(key, name, { what: 'created' })
      return OK
    }
    const moved = this.#groupToChange(key, name)
    const counted = rest[0] === 'ENTRIESREAD'
    moved.lastDelivered = id
    moved.entriesRead = counted ? Number(rest[1]) : null
    this.#events.groupChanged(key, name, { what: counted ? 'skipped' : 'moved' })
    return OK
  }

  /** `XREADGROUP GROUP group consumer COUNT n STREAMS key id`. */
  #readGroup([, name = '', consumer = '', , count, , key = '', from = '']: Args): Reply {
    const stream = this.#stream(key)
    const group = stream?.groups.get(name)
    if (stream === undefined || group === undefined)
      throw new Refused(`NOGROUP No such key '${key}' or consumer group '${name}' in XREADGROUP with GROUP option`)
    const now = this.#now()
    group.consumers.set(consumer, now)
    if (from !== '>') {
      const mine = group.pendingIn(`(${parseId(from).text}`, '+', Number(count), { idleMs: 0, now, consumer })
      for (const entry of mine) Object.assign(entry, { deliveredAt: now, deliveries: entry.deliveries + 1 })
      this.#events.read(
        key,
        mine.map(({ id }) => id.text),
      )
      return [[key, mine.map(({ id }) => [id.text, stream.find(id)?.fields ?? null])]]
    }
    const entries = stream.after(group.lastDelivered, Number(count))
    if (entries.length === 0) return null
    for (const { id } of entries) {
      group.deliver(id, consumer, now)
      group.entriesRead = stream.entriesReadWith(id, group)
      group.lastDelivered = id
    }
    this.#events.read(
      key,
      entries.map(({ id }) => id.text),
    )
    return [[key, entriesOf(entries)]]
  }

  #group(key: string, name: string): ScriptedGroup {
    const group = this.#stream(key)?.groups.get(name)
    if (group === undefined) throw new Refused(`NOGROUP No such key '${key}' or consumer group '${name}'`)
    return group
  }

  #pendingSummary([key = '', name = '']: Args): Reply {
    const { pending } = this.#group(key, name)
    if (pending.length === 0) return [0, null, null, null]
    const counts = new Map<string, number>()
    for (const { consumer } of pending) counts.set(consumer, (counts.get(consumer) ?? 0) + 1)
    const consumers = [...counts].sort(([one], [other]) => (one < other ? -1 : 1))
    return [
      pending.length,
      pending[0]?.id.text ?? null,
      pending.at(-1)?.id.text ?? null,
      consumers.map(([consumer, count]) => [consumer, String(count)]),
    ]
  }

  /** `XPENDING key group [IDLE ms] from to count [consumer]`. */
  #pendingRange([key = '', name = '', ...rest]: Args): Reply {
    const group = this.#group(key, name)
    const idle = rest[0] === 'IDLE' ? Number(rest[1]) : 0
    const [from = '', to = '', count = '', consumer] = rest[0] === 'IDLE' ? rest.slice(2) : rest
    const now = this.#now()
    return group
      .pendingIn(from, to, Number(count), { idleMs: idle, now, consumer })
      .map((entry) => [
        entry.id.text,
        entry.consumer,
        Math.max(0, Math.floor(now - entry.deliveredAt)),
        entry.deliveries,
      ])
  }

  /** `XCLAIM key group consumer 0 id… [IDLE ms] [JUSTID]`. */
  #claim([key = '', name = '', consumer = '', , ...rest]: Args): Reply {
    const group = this.#group(key, name)
    const now = this.#now()
    group.consumers.set(consumer, now)
    const ids = rest.filter((word) => word.includes('-'))
    const idleMs = rest.includes('IDLE') ? Number(rest[rest.indexOf('IDLE') + 1]) : 0
    const onlyIds = rest.includes('JUSTID')
    const claimed = ids
      .map((id) => group.find(parseId(id)))
      .filter((entry) => entry !== undefined && this.#exists(key, group, entry)) as PendingEntry[]
    for (const entry of claimed) {
      this.#events.claimed(key, name, claimOf(entry, consumer, now))
      Object.assign(entry, { consumer, deliveredAt: now - idleMs, deliveries: entry.deliveries + (onlyIds ? 0 : 1) })
    }
    if (onlyIds) return claimed.map(({ id }) => id.text)
    return entriesOf(claimed.map(({ id }) => this.#stream(key)?.find(id) as ScriptedStream['entries'][number]))
  }

  /** The message of a pending entry is there. If not, the entry is forgotten. */
  #exists(key: string, group: ScriptedGroup, { id }: PendingEntry): boolean {
    const found = this.#stream(key)?.find(id) !== undefined
    if (!found) group.settle(id)
    return found
  }

  /** `XAUTOCLAIM key group consumer 0 from COUNT n JUSTID`. */
  #autoClaim([key = '', name = '', consumer = '', , from = '', , count]: Args): Reply {
    const group = this.#group(key, name)
    const now = this.#now()
    group.consumers.set(consumer, now)
    const found = group.pendingIn(parseId(from).text, '+', Number(count) + 1, { idleMs: 0, now, consumer: undefined })
    const claimed: string[] = []
    const deleted: string[] = []
    for (const entry of found.slice(0, Number(count))) {
      if (!this.#exists(key, group, entry)) {
        deleted.push(entry.id.text)
        continue
      }
      this.#events.claimed(key, name, claimOf(entry, consumer, now))
      Object.assign(entry, { consumer, deliveredAt: now })
      claimed.push(entry.id.text)
    }
    return [found[Number(count)]?.id.text ?? FIRST_ID.text, claimed, deleted]
  }

  #ack(key: string, name: string, ids: Args): Reply {
    const group = this.#stream(key)?.groups.get(name)
    if (group === undefined) return 0
    const acked = ids.map((id) => parseId(id)).filter((id) => group.settle(id))
    if (acked.length > 0) this.#events.groupChanged(key, name, { what: 'acked', ids: acked })
    return acked.length
  }

  /** Entries behind an id, for a read that waits: `undefined` where there are none. */
  newerThan(key: string, id: string): Reply | undefined {
    const stream = this.#stream(key)
    const from = id === '$' ? stream?.lastId : parseId(id)
    if (stream === undefined || from === undefined || compareIds(stream.lastId, from) <= 0) return undefined
    const entries = stream.after(from, 1)
    return entries.length === 0 ? undefined : [key, entriesOf(entries)]
  }
}

function claimOf({ id, consumer, deliveredAt }: PendingEntry, to: string, now: number): Claim {
  return { id, from: consumer, to, idleMs: now - deliveredAt }
}

function entriesOf(entries: ScriptedStream['entries'] | readonly ScriptedStream['entries'][number][]): Reply[] {
  return entries.map(({ id, fields }) => [id.text, fields])
}
