import { Failure, OK, type Reply, Status } from './replies.js'
import { compareIds, FIRST_ID, parseId, ScriptedGroup, ScriptedStream } from './scripted-stream.js'

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

/** What has changed, for whoever judges it. */
export interface StoreEvents {
  hashChanged(key: string): void
  /** A group has had entries acked, was made or moved. */
  groupChanged(key: string, group: string, acked: boolean): void
  /** Entries of a group were read, new ones or pending ones. */
  read(key: string, ids: readonly string[]): void
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
    ['XINFO', ([what = '', key = '']) => (what === 'STREAM' ? this.#streamInfo(key) : this.#groupsInfo(key))],
    ['XGROUP', (args) => this.#changeGroup(args)],
    ['XREADGROUP', (args) => this.#readGroup(args)],
    ['XPENDING', (args) => (args.length === 2 ? this.#pendingSummary(args) : this.#pendingRange(args))],
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
    if (only) stream.keepLast()
    this.#events.appended(key)
    return text
  }

  #range(key: string, from: string, to: string, count: number): Reply {
    return entriesOf(this.#stream(key)?.range(from, to, Number.isNaN(count) ? Number.POSITIVE_INFINITY : count) ?? [])
  }

  /** `XREVRANGE key + - COUNT 1`. */
  #lastOf(key: string): Reply {
    return entriesOf(this.#stream(key)?.entries.slice(-1) ?? [])
  }

  /** What scripts ask for of it. */
  #streamInfo(key: string): Reply {
    const stream = this.#stream(key)
    if (stream === undefined) throw new Refused('ERR no such key')
    const { entries, lastId, groups } = stream
    const [first = null] = entriesOf(entries.slice(0, 1))
    const [last = null] = entriesOf(entries.slice(-1))
    return [
      ...['length', entries.length, 'last-generated-id', lastId.text, 'max-deleted-entry-id', FIRST_ID.text],
      ...['entries-added', entries.length, 'groups', groups.size, 'first-entry', first, 'last-entry', last],
    ]
  }

  #groupsInfo(key: string): Reply {
    const stream = this.#stream(key)
    if (stream === undefined) throw new Refused('ERR no such key')
    return [...stream.groups.values()].map(({ name, consumers, pending, lastDelivered, entriesRead }) => [
      ...['name', name, 'consumers', consumers.size, 'pending', pending.length],
      ...['last-delivered-id', lastDelivered.text, 'entries-read', entriesRead],
    ])
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
    } else if (group === undefined) {
      throw new Refused(`NOGROUP No such consumer group '${name}' for key name '${key}'`)
    } else {
      group.lastDelivered = id
      group.entriesRead = null
    }
    this.#events.groupChanged(key, name, false)
    return OK
  }

  /** `XREADGROUP GROUP group consumer COUNT n STREAMS key id`. */
  #readGroup([, name = '', consumer = '', , count, , key = '', from = '']: Args): Reply {
    const stream = this.#stream(key)
    const group = stream?.groups.get(name)
    if (stream === undefined || group === undefined)
      throw new Refused(`NOGROUP No such key '${key}' or consumer group '${name}' in XREADGROUP with GROUP option`)
    group.consumers.add(consumer)
    const now = this.#now()
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
    const last = entries.at(-1)
    if (last === undefined) return null
    for (const { id } of entries) {
      group.deliver(id, consumer, now)
      group.entriesRead = group.entriesRead === null ? stream.knownOffset(id) : group.entriesRead + 1
    }
    group.lastDelivered = last.id
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

  /** `XAUTOCLAIM key group consumer 0 from COUNT n JUSTID`. */
  #autoClaim([key = '', name = '', consumer = '', , from = '', , count]: Args): Reply {
    const group = this.#group(key, name)
    group.consumers.add(consumer)
    const now = this.#now()
    const found = group.pendingIn(parseId(from).text, '+', Number(count) + 1, { idleMs: 0, now, consumer: undefined })
    const claimed = found.slice(0, Number(count))
    for (const entry of claimed) Object.assign(entry, { consumer, deliveredAt: now })
    const next = found[Number(count)]?.id.text ?? FIRST_ID.text
    return [next, claimed.map(({ id }) => id.text), []]
  }

  #ack(key: string, name: string, ids: Args): Reply {
    const group = this.#stream(key)?.groups.get(name)
    if (group === undefined) return 0
    const acked = ids.filter((id) => group.settle(parseId(id))).length
    if (acked > 0) this.#events.groupChanged(key, name, true)
    return acked
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

function entriesOf(entries: ScriptedStream['entries'] | readonly ScriptedStream['entries'][number][]): Reply[] {
  return entries.map(({ id, fields }) => [id.text, fields])
}
