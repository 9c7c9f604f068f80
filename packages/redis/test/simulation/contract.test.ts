import { play, SimulatedProcess } from '@streamswitch/testkit/simulation'
import { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { type Argument, Connection } from '../../src/connection.js'
import {
  ACK,
  CHECK_WAITING,
  CLAIM,
  ENSURE_GROUP,
  GIVE_BACK,
  GUARD_READ,
  HEARTBEAT,
  KEEP,
  LAST_DELIVERED,
  LEAVE,
  MEMBERS,
  NOTE_ATTEMPT,
  RELEASE,
  SEEK,
  SKIP_TRIMMED,
  TAKE,
  TAKE_PENDING,
  TEND_SHARED,
} from '../../src/group-scripts.js'
import { TRIM } from '../../src/retention.js'
import { Script } from '../../src/script.js'
import { provisionTopic } from '../../src/topic.js'
import { TopicWatch } from '../../src/topic-watch.js'
import { unique } from '../bench.js'
import { brokerUrl } from '../broker-url.js'
import { LuaEngine } from './lua-engine.js'
import { ScriptedBroker } from './scripted-broker.js'

/** A server, real or scripted: the same steps must give the same transcript. */
interface Bench {
  /** A name of this bench alone. */
  key(name: string): string
  connect(): Promise<Connection>
  sleep(ms: number): Promise<void>
}

/** Written down, in order, by what happens at clients. */
type Transcript = unknown[]

type Steps = (bench: Bench, transcript: Transcript) => Promise<void>

async function onServer(steps: Steps): Promise<Transcript> {
  const prefix = unique('contract')
  const clients: Redis[] = []
  const transcript: Transcript = []
  try {
    await steps(
      {
        key: (name) => `${prefix}:${name}`,
        connect: async () => {
          const client = new Redis(brokerUrl, { lazyConnect: true, protocol: 2, replyMapping: 'legacy' })
          clients.push(client)
          await client.connect()
          return new Connection(
            client,
            () => {},
            () => {},
          )
        },
        sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      },
      transcript,
    )
    return plain(transcript, prefix)
  } finally {
    const [cleaner] = clients
    const keys = (await cleaner?.keys(`*${prefix}*`)) ?? []
    if (keys.length > 0) await cleaner?.del(...keys)
    for (const client of clients) client.disconnect()
  }
}

async function onScript(steps: Steps): Promise<Transcript> {
  const engine = await LuaEngine.create()
  return play(1, async (world) => {
    const broker = new ScriptedBroker(world, engine, {
      hashChanged() {},
      groupChanged() {},
      read() {},
      claimed() {},
      consumerDeleted() {},
      removed() {},
      executed() {},
      answered: () => undefined,
    })
    const process = new SimulatedProcess('client')
    const transcript: Transcript = []
    await steps(
      {
        key: (name) => `contract:${name}`,
        connect: async () => {
          const client = await broker.connect(process, 10_000)
          return new Connection(
            client as never,
            () => {},
            () => {},
          )
        },
        sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      },
      transcript,
    )
    return plain(transcript, 'contract')
  })
}

/** As text, without what differs from one server to the next: names of keys, times of day, where in a script something failed. */
function plain(value: unknown, prefix: string): Transcript {
  const one = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(one)
    if (part instanceof Error) return `error: ${one(part.message.split(' script: ')[0])}`
    if (part instanceof Buffer || typeof part === 'string')
      return String(part)
        .replaceAll(prefix, 'P')
        .replaceAll(/\d{13}/g, 'time')
    return part
  }
  return one(value) as Transcript
}

/** The reply, or the error. */
const outcome = (reply: Promise<unknown>): Promise<unknown> => reply.catch((error: unknown) => error)

/** Commands one after the other, each with its reply. */
async function note(
  connection: Connection,
  transcript: Transcript,
  commands: readonly (readonly [string, ...Argument[]])[],
) {
  for (const [name, ...args] of commands) transcript.push([name, await outcome(connection.call(name, ...args))])
}

/** Some values of a list of names and values. */
function valuesOf(reply: unknown, names: readonly string[]): unknown[] {
  const list = (reply as unknown[]).map((part) => (part instanceof Buffer ? part.toString() : part))
  return names.map((name) => [name, list[list.indexOf(name) + 1]])
}

/** The same values of each group of a stream. */
async function groupsOf(connection: Connection, stream: string, names: readonly string[]): Promise<unknown[][]> {
  const groups = (await connection.call('XINFO', 'GROUPS', stream)) as unknown[]
  return groups.map((group) => valuesOf(group, names))
}

/** Reads of a stream by members of group `g`. */
const readsOf =
  (stream: string) =>
  (consumer: string, count: number, from = '>') =>
    ['XREADGROUP', 'GROUP', 'g', consumer, 'COUNT', count, 'STREAMS', stream, from] as const

/** Pending entries without how long they are idle. */
const withoutIdle = (reply: unknown): unknown =>
  (reply as unknown[][]).map(([id, consumer, , deliveries]) => [id, consumer, deliveries])

async function addEntries(connection: Connection, stream: string, ids: readonly string[]): Promise<void> {
  for (const id of ids) await connection.call('XADD', stream, id, 'payload', id)
}

const CONTRACTS: Readonly<Record<string, Steps>> = {
  'hashes and sets: what replies say, and keys that go with their last part': async (bench, transcript) => {
    const connection = await bench.connect()
    const [hash, set, stream] = [bench.key('hash'), bench.key('set'), bench.key('stream')]
    await note(connection, transcript, [
      ['PING'],
      ['TYPE', hash],
      ['HGET', hash, 'a'],
      ['HMGET', hash, 'a', 'b'],
      ['HSET', hash, 'a', '1', 'b', '2'],
      ['HSET', hash, 'b', '3', 'c', '4'],
      ['HMGET', hash, 'b', 'none', 'c'],
      ['TYPE', hash],
      ['EXISTS', hash, set, hash],
      ['HDEL', hash, 'a', 'none'],
      ['HDEL', hash, 'b', 'c'],
      ['EXISTS', hash],
      ['HDEL', hash, 'a'],
      ['ZADD', set, 2, 'b'],
      ['ZADD', set, 1, 'c'],
      ['ZADD', set, 2, 'a'],
      ['ZADD', set, 3, 'c'],
      ['ZRANGE', set, 0, -1],
      ['TYPE', set],
      ['ZREMRANGEBYSCORE', set, '-inf', '(2'],
      ['ZREMRANGEBYSCORE', set, '-inf', '(3'],
      ['ZREM', set, 'none'],
      ['ZRANGE', set, 0, -1],
      ['ZREMRANGEBYSCORE', set, '-inf', '(4'],
      ['EXISTS', set],
      ['XADD', stream, '1-1', 'a', 'b'],
      ['TYPE', stream],
      ['HGET', stream, 'a'],
      ['PEXPIRE', stream, 20],
      ['PEXPIRE', set, 20],
      ['DEL', set],
    ])
    await bench.sleep(40)
    await note(connection, transcript, [
      ['EXISTS', stream],
      ['XADD', stream, '1-1', 'a', 'b'],
      ['DEL', stream, set],
    ])
  },
  'streams: ranges, ids, what is told of them': async (bench, transcript) => {
    const connection = await bench.connect()
    const stream = bench.key('stream')
    await note(connection, transcript, [
      ['XLEN', stream],
      ['XRANGE', stream, '-', '+', 'COUNT', 1],
      ['XREVRANGE', stream, '+', '-', 'COUNT', 1],
      ['XINFO', 'STREAM', stream],
      ['XINFO', 'GROUPS', stream],
    ])
    await addEntries(connection, stream, ['5-0', '5-1', '6-3', '7-0'])
    await note(connection, transcript, [
      ['XLEN', stream],
      ['XRANGE', stream, '-', '+'],
      ['XRANGE', stream, '(5-0', '+', 'COUNT', 2],
      ['XRANGE', stream, '5-1', '(7-0', 'COUNT', 9],
      ['XRANGE', stream, '(7-0', '+', 'COUNT', 1],
      ['XRANGE', stream, '(4-18446744073709551615', '+', 'COUNT', 1],
      ['XRANGE', stream, '(5-18446744073709551615', '+', 'COUNT', 1],
      ['XREVRANGE', stream, '+', '-', 'COUNT', 1],
    ])
    const names = ['length', 'last-generated-id', 'max-deleted-entry-id', 'entries-added', 'groups', 'first-entry']
    transcript.push(valuesOf(await connection.call('XINFO', 'STREAM', stream), [...names, 'last-entry']))
    await connection.call('XADD', stream, 'MAXLEN', 1, '8-0', 'a', 'b')
    await note(connection, transcript, [['XRANGE', stream, '-', '+', 'COUNT', 9]])
  },
  'groups: reading new and pending entries, acks, moving, and the errors without one': async (bench, transcript) => {
    const connection = await bench.connect()
    const stream = bench.key('stream')
    const read = readsOf(stream)
    const info = async (): Promise<void> => {
      const names = ['name', 'consumers', 'pending', 'last-delivered-id', 'entries-read']
      transcript.push(await groupsOf(connection, stream, names))
    }
    await note(connection, transcript, [
      read('c', 1, '>'),
      ['XPENDING', stream, 'g'],
      ['XACK', stream, 'g', '1-0'],
      ['XAUTOCLAIM', stream, 'g', 'c', 0, '0-0', 'COUNT', 5, 'JUSTID'],
      ['XGROUP', 'CREATE', stream, 'g', '0-0'],
      ['XGROUP', 'CREATE', stream, 'g', '0-0', 'MKSTREAM'],
      ['XGROUP', 'CREATE', stream, 'g', '0-0', 'MKSTREAM'],
      ['XGROUP', 'SETID', stream, 'other', '0-0'],
      read('c', 1, '>'),
      read('c', 1, '0-0'),
      ['XPENDING', stream, 'g'],
    ])
    await addEntries(connection, stream, ['1-0', '2-0', '3-0', '4-0', '5-0'])
    await info()
    await note(connection, transcript, [read('c', 2, '>'), read('d', 2, '>'), ['XPENDING', stream, 'g']])
    await info()
    await note(connection, transcript, [
      read('c', 9, '0-0'),
      read('c', 9, '1-0'),
      read('d', 1, '0-0'),
      read('c', 9, '2-0'),
      ['XACK', stream, 'g', '1-0', '9-9', '1-0'],
      ['XPENDING', stream, 'g'],
    ])
    transcript.push(withoutIdle(await connection.call('XPENDING', stream, 'g', '-', '+', 9)))
    transcript.push(withoutIdle(await connection.call('XPENDING', stream, 'g', '(2-0', '+', 1)))
    transcript.push(withoutIdle(await connection.call('XPENDING', stream, 'g', '-', '+', 9, 'd')))
    transcript.push(await connection.call('XPENDING', stream, 'g', 'IDLE', 60_000, '-', '+', 9))
    await bench.sleep(30)
    transcript.push(withoutIdle(await connection.call('XPENDING', stream, 'g', 'IDLE', 15, '-', '+', 9, 'c')))
    await note(connection, transcript, [
      ['XAUTOCLAIM', stream, 'g', 'd', 0, '0-0', 'COUNT', 2, 'JUSTID'],
      ['XAUTOCLAIM', stream, 'g', 'd', 0, '4-0', 'COUNT', 2, 'JUSTID'],
      ['XPENDING', stream, 'g'],
      ['XGROUP', 'SETID', stream, 'g', '2-0'],
      read('e', 1, '>'),
      ['XPENDING', stream, 'g'],
    ])
    await info()
    await note(connection, transcript, [
      ['XGROUP', 'SETID', stream, 'g', '$'],
      read('e', 1, '>'),
      ['XGROUP', 'DESTROY', stream, 'g'],
      ['XGROUP', 'DESTROY', stream, 'g'],
      read('e', 1, '>'),
    ])
  },
  'a read that waits: answered by the next entry, at its end, or when it is interrupted': async (bench, transcript) => {
    const [reader, other] = [await bench.connect(), await bench.connect()]
    const [one, two] = [bench.key('one'), bench.key('two')]
    const id = Number(await reader.call('CLIENT', 'ID'))
    const read = (ms: number, ...ids: string[]): Promise<unknown> =>
      reader.call('XREAD', 'COUNT', 1, 'BLOCK', ms, 'STREAMS', one, two, ...ids)
    transcript.push(await read(10, '0-0', '0-0'))
    transcript.push(await other.call('CLIENT', 'UNBLOCK', id))
    const answered = read(10_000, '0-0', '0-0')
    await addEntries(other, two, ['1-0', '2-0'])
    transcript.push(await answered)
    transcript.push(await read(10, '0-0', '1-0'), await read(10, '0-0', '2-0'))
    await addEntries(other, one, ['1-0'])
    transcript.push(await read(10, '0-0', '0-0'))
    const interrupted = read(10_000, '1-0', '2-0')
    while (Number(await other.call('CLIENT', 'UNBLOCK', id)) === 0);
    transcript.push(await interrupted)
    const last = read(10_000, '1-0', '2-0')
    transcript.push(await other.run(new Script("return redis.call('XADD', KEYS[1], '3-0', 'a', 'b')"), [two], []))
    transcript.push(await last)
  },
  'transactions: replies in order, and errors among them': async (bench, transcript) => {
    const connection = await bench.connect()
    const [hash, stream] = [bench.key('hash'), bench.key('stream')]
    transcript.push(
      await connection.transaction([
        ['HSET', hash, 'a', '1'],
        ['XADD', stream, '1-0', 'a', 'b'],
        ['EVAL', "return redis.call('HGET', KEYS[1], 'a')", 1, hash],
      ]),
    )
    const failing = [
      ['HSET', hash, 'a', '2'],
      ['HGET', stream, 'a'],
      ['HSET', hash, 'b', '3'],
    ]
    transcript.push(await outcome(connection.transaction(failing)))
    await note(connection, transcript, [['HMGET', hash, 'a', 'b']])
  },
  'Lua: what Redis makes of its values and errors, and what its version does with numbers and text': async (
    bench,
    transcript,
  ) => {
    const connection = await bench.connect()
    const [hash, stream] = [bench.key('hash'), bench.key('stream')]
    const keys = [hash, stream]
    await addEntries(connection, stream, ['1-0'])
    const unknown = new Script(`return '${unique('script')}'`)
    transcript.push(
      await outcome(connection.call('EVALSHA', unknown.hash, 0).catch((error: Error) => error.message.split(' ')[0])),
    )
    await connection.run(unknown, [], [])
    transcript.push(String(await connection.call('EVALSHA', unknown.hash, 0)) === unknown.source.split("'")[1])
    for (const source of [
      'return {1, 2.9, -2.9, true, false, "text", {"nested", {}}}',
      'return {1, nil, 3}',
      'return nil',
      'return false',
      'return {ok = "fine"}',
      "return redis.error_reply('SSVERSION 7')",
      "return redis.status_reply('DONE')",
      'return {#KEYS, #ARGV, KEYS[3] == nil, ARGV[1], ARGV[2]}',
      "return redis.call('HGET', KEYS[1], 'none') == false and 'nothing is false'",
      "return redis.call('HSET', KEYS[1], 'a', 1.5, 'b', 3, 'c', 1234567890123)",
      "return redis.call('HMGET', KEYS[1], 'a', 'b', 'c', 'none')",
      "return redis.call('TYPE', KEYS[1])['ok']",
      "return redis.pcall('HGET', KEYS[2], 'a').err",
      "return redis.pcall('XPENDING', KEYS[2], 'none').err",
      "return redis.pcall('XPENDING', KEYS[2], 'none')",
      "return redis.call('HGET', KEYS[2], 'a')",
      "return redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1][2][2]",
      "return redis.pcall('XINFO', 'GROUPS', KEYS[2]).err == nil and 'no error'",
      "return {tostring(3), tostring(3 / 2), tostring(6 / 2), '5' + 1, '5' * '2', 7 % 3, math.floor(7 / 2)}",
      "return {string.format('%.0f', 1e15), string.format('%.0f', '1800000000000' + 1), 2 ^ 53 .. ''}",
      "return {tonumber('') == nil, tonumber('12'), tonumber('x') == nil, tonumber('0x10')}",
      "return {string.match('12-34', '^(%d+)-(%d+)$')}",
      'return {unpack({1, 2, 3}, 2, 3)}',
      "return {select('#', unpack({}))}",
      "return {'a' < 'b', '10' < '9', #'four'} ",
      'local last for _, value in ipairs({1, 2, nil, 4}) do last = value end return last',
      "return string.sub('fenced', 1, 1) .. string.sub('fenced', 2)",
      'global = 1',
      'return missing',
      "error('SSVERSION 9')",
      "error({err = 'CODE text'})",
      '#!lua flags=allow-oom\nreturn redis.call("PING")',
    ]) {
      const reply = await outcome(connection.run(new Script(source), keys, ['first', 2]))
      transcript.push([source, reply instanceof Error ? errorWords(reply) : reply])
    }
  },
  'topics: made with the first member, and looked after': async (bench, transcript) => {
    const connection = await bench.connect()
    const topic = bench.key('topic')
    const spec = {
      topic,
      brokerTopic: topic,
      partitions: 3,
      retention: {},
      provision: 'create',
      role: 'topic',
    } as never
    transcript.push(await provisionTopic(connection, spec), await provisionTopic(connection, spec))
    transcript.push(
      await outcome(provisionTopic(connection, { ...(spec as object), partitions: 2 } as never)).then(
        (error) => (error as { code?: string }).code,
      ),
    )
    const watch = new TopicWatch([{ spec, partitions: 3 }], 'loop')
    transcript.push(await watch.check(connection))
    await connection.call('DEL', `ss:{${topic}}:meta`)
    await addEntries(connection, `${topic}:1`, ['1-0'])
    transcript.push((await watch.check(connection)).map(({ error, changed }) => [error.code, changed]))
    await note(connection, transcript, [['HMGET', `ss:{${topic}}:meta`, 'v', 'partitions']])
  },
  'members: who lives, who is gone, and what the others hear of it': async (bench, transcript) => {
    const connection = await bench.connect()
    const keys = [bench.key('members'), bench.key('changes')]
    const changes = async (): Promise<void> => {
      const entries = (await connection.call('XRANGE', keys[1] as string, '-', '+')) as [Buffer, Buffer[]][]
      transcript.push(entries.map(([, fields]) => fields))
    }
    for (const [owner, what] of [
      ['a', 'live'],
      ['b', 'live'],
      ['a', 'live'],
      ['a', 'gave'],
      ['b', 'leave'],
      ['b', 'leave'],
    ] as const) {
      // They are listed by the time of their last sign, in milliseconds.
      await bench.sleep(2)
      transcript.push([owner, what, await connection.run(MEMBERS, keys, [owner, 60_000, what])])
      await changes()
    }
    await connection.run(MEMBERS, keys, ['silent', 60_000, 'live'])
    await bench.sleep(30)
    transcript.push(await connection.run(MEMBERS, keys, ['c', 20, 'live']))
    await changes()
  },
  'leases: taken, renewed, given back, over; what each says to a member that has lost it': async (
    bench,
    transcript,
  ) => {
    const connection = await bench.connect()
    const [stream, lease, attempts] = [bench.key('stream'), bench.key('lease'), bench.key('attempts')]
    const keys = [stream, lease]
    const ensure = (known: '1' | '', provision = 'create') =>
      outcome(connection.run(ENSURE_GROUP, keys, ['g', '0-0', provision, known, 1, '']))
    const take = async (owner: string, leaseMs = 60_000): Promise<string> => {
      const reply = await outcome(connection.run(TAKE, keys, ['g', owner, leaseMs, 1]))
      transcript.push(['take', owner, reply])
      return Array.isArray(reply) ? `${String(reply[0])}:${owner}` : ''
    }
    const beat = async (owner: string, token: string, position = ''): Promise<void> => {
      const args = ['g', owner, 60_000, 'streamswitch', 10, token, position]
      transcript.push(['beat', owner, await outcome(connection.run(HEARTBEAT, keys, args))])
      await note(connection, transcript, [['HMGET', lease, 'owner', 'position', 'stray', 'suspectTo', 'returned', 'v']])
    }
    const guarded = async (token: string): Promise<void> => {
      const guard = ['EVAL', GUARD_READ.source, 2, ...keys, token]
      const read = ['XREADGROUP', 'GROUP', 'g', 'streamswitch', 'COUNT', 2, 'STREAMS', stream, '>']
      transcript.push(['read', await outcome(connection.transaction([guard, read]))])
    }
    transcript.push(await ensure('', 'verify'), await ensure(''), await ensure(''))
    const first = await take('a')
    await take('b')
    await addEntries(connection, stream, ['1-0', '2-0', '3-5', '4-0', '5-0', '6-0'])
    await beat('a', first)
    await guarded(first)
    await beat('a', first, '2-0')
    await beat('b', '')
    transcript.push(await connection.run(LAST_DELIVERED, keys, [first, 'g']))
    transcript.push(await connection.run(CHECK_WAITING, keys, ['g', '1', first, '2-0']))
    transcript.push(await connection.run(ACK, [...keys, attempts], [first, 'g', '1-0']))
    await beat('a', first, '2-0')
    transcript.push(await connection.run(ACK, [...keys, attempts], [first, 'g', '2-0', '2-0']))
    await beat('a', first, '2-0')
    transcript.push(await connection.run(NOTE_ATTEMPT, [...keys, attempts], [first, '3-5', 2]))
    await guarded(first)
    const again = await take('a')
    transcript.push(await connection.run(ACK, [...keys, attempts], [first, 'g', '3-5']))
    transcript.push(await connection.run(NOTE_ATTEMPT, [...keys, attempts], [first, '3-5', 3]))
    transcript.push(await connection.run(TAKE_PENDING, [...keys, attempts], [first, 'g', 'streamswitch', '0-0']))
    transcript.push(await connection.run(RELEASE, [...keys, attempts], [first]))
    transcript.push(await connection.run(LAST_DELIVERED, keys, [first, 'g']))
    await beat('a', first)
    await guarded(first)
    transcript.push(await connection.run(LAST_DELIVERED, keys, [again, 'g']))
    transcript.push(await connection.run(CHECK_WAITING, keys, ['g', '1', again, '6-0']))
    await guarded(again)
    transcript.push(await connection.run(TAKE_PENDING, [...keys, attempts], [again, 'g', 'streamswitch', '0-0']))
    transcript.push(await connection.run(ACK, [...keys, attempts], [again, 'g', '3-5', '4-0']))
    await note(connection, transcript, [['EXISTS', attempts]])
    transcript.push(await connection.run(RELEASE, [...keys, attempts], [again]))
    await beat('a', again)
    const short = await take('b', 20)
    await bench.sleep(40)
    const heir = await take('c')
    await beat('b', short)
    await beat('c', heir)
    await connection.call('XREADGROUP', 'GROUP', 'g', 'foreign', 'COUNT', 1, 'STREAMS', stream, '>')
    await addEntries(connection, stream, ['7-0'])
    await connection.call('XREADGROUP', 'GROUP', 'g', 'foreign', 'COUNT', 1, 'STREAMS', stream, '>')
    await bench.sleep(30)
    await beat('c', heir)
    transcript.push(await connection.run(SEEK, [...keys, attempts], [heir, 'g', '1-0', '1']))
    await note(connection, transcript, [['XPENDING', stream, 'g']])
    await guarded(heir)
    await connection.call('XGROUP', 'DESTROY', stream, 'g')
    await beat('c', heir, '2-0')
    transcript.push(await ensure('1'), await ensure('1'))
    await guarded(heir)
    await connection.call('DEL', lease)
    await beat('c', heir)
    await guarded(heir)
    await connection.call('HSET', lease, 'v', 2)
    await take('d')
    await connection.call('DEL', stream)
    transcript.push(await ensure('1'))
    transcript.push(await outcome(connection.run(TAKE, [bench.key('none'), bench.key('no-lease')], ['g', 'a', 1, 1])))
  },
  'trimming: what is left, what groups are said to have read, and pending entries whose message is gone': async (
    bench,
    transcript,
  ) => {
    const connection = await bench.connect()
    const stream = bench.key('stream')
    const read = readsOf(stream)
    const info = async (): Promise<void> => {
      const names = ['name', 'pending', 'last-delivered-id', 'entries-read', 'lag']
      transcript.push(await groupsOf(connection, stream, names))
      const facts = ['length', 'entries-added', 'max-deleted-entry-id', 'last-generated-id', 'first-entry']
      transcript.push(valuesOf(await connection.call('XINFO', 'STREAM', stream), facts))
    }
    await note(connection, transcript, [
      ['XTRIM', stream, 'MAXLEN', 3],
      ['XGROUP', 'CREATE', stream, 'g', '0-0', 'MKSTREAM'],
      ['XGROUP', 'CREATE', stream, 'unread', '0-0'],
    ])
    await info()
    await addEntries(connection, stream, ['1-0', '2-0', '3-0', '4-0', '5-0', '6-0', '7-0', '8-0'])
    await info()
    await note(connection, transcript, [read('c', 3, '>')])
    await info()
    await note(connection, transcript, [
      ['XTRIM', stream, 'MAXLEN', 8],
      ['XTRIM', stream, 'MINID', '2-0'],
    ])
    await info()
    await note(connection, transcript, [read('c', 9, '0-0'), ['XTRIM', stream, 'MAXLEN', 3]])
    await info()
    await note(connection, transcript, [
      read('c', 9, '0-0'),
      ['XCLAIM', stream, 'g', 'd', 0, '1-0', '6-0'],
      ['XPENDING', stream, 'g'],
      read('c', 1, '>'),
    ])
    await info()
    await note(connection, transcript, [
      ['XTRIM', stream, 'MINID', '9-0'],
      ['XAUTOCLAIM', stream, 'g', 'd', 0, '0-0', 'COUNT', 2, 'JUSTID'],
      ['XAUTOCLAIM', stream, 'g', 'd', 0, '0-0', 'COUNT', 2, 'JUSTID'],
      ['XPENDING', stream, 'g'],
      read('c', 9, '>'),
    ])
    await info()
    await addEntries(connection, stream, ['9-0', '9-1'])
    await info()
    await note(connection, transcript, [read('c', 1, '>')])
    await info()
    for (const position of ['0-0', '8-0', '9-0', '9-1', '10-0']) {
      transcript.push(await connection.call('XGROUP', 'SETID', stream, 'unread', position))
      await info()
    }
    transcript.push(await connection.call('XGROUP', 'SETID', stream, 'unread', '7-0', 'ENTRIESREAD', 7))
    await info()
  },
  'retention: up to what groups have acked, and no further': async (bench, transcript) => {
    const connection = await bench.connect()
    const stream = bench.key('stream')
    const trim = async (maxAgeMs: number, maxMessages: number): Promise<void> => {
      transcript.push(await connection.run(TRIM, [stream], [maxAgeMs, 0, maxMessages, 0, bench.key('leases:'), 'g']))
      await note(connection, transcript, [['XRANGE', stream, '-', '+']])
    }
    await trim(1, 1)
    await addEntries(connection, stream, ['1-0', '2-0', '3-0', '4-0', '5-0', '6-0'])
    await trim(0, 5)
    for (const group of ['g', 'h']) await connection.call('XGROUP', 'CREATE', stream, group, '0-0')
    await trim(0, 1)
    for (const [group, count] of [
      ['g', 3],
      ['h', 2],
    ] as const)
      await connection.call('XREADGROUP', 'GROUP', group, 'c', 'COUNT', count, 'STREAMS', stream, '>')
    await trim(1, 1)
    await note(connection, transcript, [
      ['XACK', stream, 'g', '2-0'],
      ['XACK', stream, 'h', '2-0', '3-0'],
    ])
    await trim(0, 4)
    await trim(1, 0)
    await note(connection, transcript, [['XGROUP', 'SETID', stream, 'g', '5-0']])
    await trim(1, 1)
    await note(connection, transcript, [['XACK', stream, 'g', '3-0', '4-0']])
    await trim(0, 2)
    await trim(1_000_000_000_000_000, 1)
  },
  'moving: a position that was removed is outside, and a group that was there goes on with what is left': async (
    bench,
    transcript,
  ) => {
    const connection = await bench.connect()
    const [stream, lease, attempts] = [bench.key('stream'), bench.key('lease'), bench.key('attempts')]
    const ensure = () => outcome(connection.run(ENSURE_GROUP, [stream, lease], ['g', '0-0', 'create', '1', 1, '']))
    const seek = async (start: string, entry: '' | '1'): Promise<void> => {
      transcript.push(await outcome(connection.run(SEEK, [stream, lease, attempts], ['', 'g', start, entry])))
      const groups = (await connection.call('XINFO', 'GROUPS', stream)) as unknown[]
      transcript.push(groups.map((group) => valuesOf(group, ['pending', 'last-delivered-id', 'entries-read'])))
    }
    const read = ['XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 2, 'STREAMS', stream, '>'] as const
    transcript.push(await ensure())
    await addEntries(connection, stream, ['1-0', '2-0', '3-0', '4-0', '5-0', '6-0'])
    await note(connection, transcript, [read, ['XTRIM', stream, 'MAXLEN', 2]])
    transcript.push(await ensure())
    for (const policy of ['earliest', 'earliest'])
      transcript.push(await connection.run(SKIP_TRIMMED, [stream], ['g', policy]), await ensure())
    await note(connection, transcript, [read, ['XTRIM', stream, 'MAXLEN', 1]])
    await note(connection, transcript, [['HSET', lease, 'position', '4-0', 'suspectTo', '5-0']])
    await seek('1-0', '1')
    await seek('9-0', '1')
    await seek('9-0', '')
    await seek('5-0', '1')
    await seek('0-0', '')
    await seek('$', '')
    await note(connection, transcript, [['HMGET', lease, 'position', 'suspectTo']])
    await addEntries(connection, stream, ['7-0', '8-0'])
    await note(connection, transcript, [['XTRIM', stream, 'MAXLEN', 1]])
    transcript.push(await ensure())
    transcript.push(await connection.run(SKIP_TRIMMED, [stream], ['g', 'latest']), await ensure())
  },
  'sharing: entries are kept, given back, claimed, and what members leave behind': async (bench, transcript) => {
    const connection = await bench.connect()
    const [stream, lease, attempts] = [bench.key('stream'), bench.key('lease'), bench.key('attempts')]
    const read = readsOf(stream)
    const pending = async (): Promise<void> => {
      transcript.push(withoutIdle(await connection.call('XPENDING', stream, 'g', '-', '+', 20)))
      const consumers = (await connection.call('XINFO', 'CONSUMERS', stream, 'g')) as unknown[]
      transcript.push(consumers.map((consumer) => valuesOf(consumer, ['name', 'pending'])))
    }
    const claim = async (consumer: string, idleMs: number, most = 10): Promise<void> => {
      transcript.push([
        'claim',
        consumer,
        await connection.run(CLAIM, [stream, lease, attempts], ['', 'g', consumer, idleMs, most]),
      ])
      await pending()
    }
    /** As if the consumer had had them for long. */
    const age = async (consumer: string, ids: readonly string[]): Promise<void> => {
      const claimed = ['XCLAIM', stream, 'g', consumer, 0, ...ids, 'IDLE', 100_000, 'JUSTID'] as const
      await note(connection, transcript, [claimed])
    }
    const tend = async (consumer: string, idleMs: number): Promise<void> => {
      transcript.push([
        'tend',
        consumer,
        await connection.run(TEND_SHARED, [stream, lease], ['g', consumer, 1, idleMs]),
      ])
      await note(connection, transcript, [['HMGET', lease, 'v', 'position']])
      await pending()
    }
    await note(connection, transcript, [
      ['XINFO', 'CONSUMERS', stream, 'g'],
      ['XGROUP', 'CREATE', stream, 'g', '0-0', 'MKSTREAM'],
      ['XINFO', 'CONSUMERS', stream, 'none'],
      ['XGROUP', 'DELCONSUMER', stream, 'none', 'c'],
      ['XGROUP', 'DELCONSUMER', stream, 'g', 'c'],
      ['XCLAIM', stream, 'none', 'c', 0, '0-0', 'JUSTID'],
      ['XCLAIM', stream, 'g', 'c', 0, '0-0', 'JUSTID'],
    ])
    await addEntries(connection, stream, ['1-0', '2-0', '3-0', '4-0', '5-0', '6-0', '7-0'])
    await note(connection, transcript, [read('c', 3), read('d', 2)])
    await tend('c', 60_000)
    await connection.run(NOTE_ATTEMPT, [stream, lease, attempts], ['', '4-0', 3])
    transcript.push(await connection.run(KEEP, [stream], ['g', 'c', '1-0', '4-0', '9-0']))
    transcript.push(await connection.run(GIVE_BACK, [stream], ['g', 'd', '1-0', '4-0']))
    await pending()
    await tend('c', 60_000)
    await claim('c', 60_000)
    await age('c', ['2-0', '3-0'])
    await age('d', ['5-0'])
    transcript.push(await connection.run(KEEP, [stream], ['g', 'c', '2-0']))
    await tend('e', 60_000)
    await claim('e', 60_000)
    await age('c', ['1-0', '2-0', '4-0'])
    await note(connection, transcript, [['XTRIM', stream, 'MINID', '3-0']])
    await claim('f', 60_000, 2)
    await claim('f', 60_000)
    transcript.push(await connection.run(LEAVE, [stream], ['g', 'f']))
    transcript.push(await connection.run(LEAVE, [stream], ['g', 'e']))
    await pending()
    await bench.sleep(60)
    await tend('c', 5)
    transcript.push(await connection.run(ACK, [stream, lease, attempts], ['', 'g', '3-0', '4-0', '5-0']))
    await tend('c', 60_000)
    await note(connection, transcript, [read('g', 2), ['XGROUP', 'DELCONSUMER', stream, 'g', 'g']])
    await tend('c', 60_000)
  },
}

/** What an error says. In which words the server tells an error of Lua itself is of no interest. */
function errorWords({ message }: Error): string {
  if (message.includes('nonexistent')) return 'no such global'
  if (message.includes('readonly')) return 'globals are read-only'
  return message.split(' script: ')[0] as string
}

describe('the scripted server does as the real one', () => {
  test.each(Object.entries(CONTRACTS))('%s', async (_, steps) => {
    const [real, scripted] = [await onServer(steps), await onScript(steps)]
    expect(real.length).toBeGreaterThan(0)
    expect(scripted).toEqual(real)
  })
})
